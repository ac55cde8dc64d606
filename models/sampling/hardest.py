"""The k hardest of many anchors, in the same order on every machine."""

import numpy as np
from numpy.typing import NDArray

SAMPLE_SIZE = 512  # values of an image that its k-th is estimated from, at next to no cost
INDEX_BITS = 32


def hardest(
    values: NDArray[np.float32], allowed: NDArray[np.bool_], nums: list[int]
) -> list[NDArray[np.int64]]:
    """
    Find each image's `nums[i]` highest allowed values, highest first, equal ones by index.

    numpy's partition and sort are vectorised, torch's `topk` on the CPU is not. As much as
    possible is done for the whole batch at once.

    Args:
        values: float32 [B, A] without NaN.
        allowed: bool [B, A].
        nums: B numbers, none above the number of allowed values of its image.

    Returns:
        int64 [nums[i]] for each image: indices into the flattened values.
    """
    bars = _bars(values, allowed, nums)
    reached, bounds = _reached(values, allowed, bars)
    short = np.diff(bounds) < nums
    if short.any():
        bars[short] = -np.inf
        reached, bounds = _reached(values, allowed, bars)
    keys = _ranking_keys(values.reshape(-1)[reached], reached)
    for start, stop, num in zip(bounds[:-1], bounds[1:], nums, strict=True):
        _sort_lowest(keys[start:stop], num)
    indices = keys & ((1 << INDEX_BITS) - 1)
    return [indices[start : start + num] for start, num in zip(bounds[:-1], nums, strict=True)]


def _bars(
    values: NDArray[np.float32], allowed: NDArray[np.bool_], nums: list[int]
) -> NDArray[np.float32]:
    """
    Estimate one value per image that somewhat more than `nums[i]` of its anchors reach.

    The estimate comes from an even sample, three standard deviations below the expected rank, and
    is seldom too high. It is minus infinity if nearly all values are wanted.
    """
    stride = _stride(values.shape[1])
    sample = np.where(allowed[:, ::stride], -values[:, ::stride], np.inf)
    expected = np.asarray(nums) * (sample.shape[1] / max(1, values.shape[1]))
    ranks = (expected + 3 * np.sqrt(expected)).astype(np.int64) + 2
    guessed = np.flatnonzero(ranks < sample.shape[1])
    bars = np.full(len(nums), -np.inf, dtype=np.float32)
    if len(guessed):
        sample.partition(np.unique(ranks[guessed]), axis=1)
        bars[guessed] = -sample[guessed, ranks[guessed]]
    return bars


def _stride(num_values: int) -> int:
    """Return an odd stride, no multiple of 3: it hits all of a cell's 2, 3, 4, 6 or 9 anchors."""
    stride = num_values // SAMPLE_SIZE | 1
    return stride + 2 if stride % 3 == 0 else stride


def _reached(
    values: NDArray[np.float32], allowed: NDArray[np.bool_], bars: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ascending flat indices of allowed values that reach their bar, and images' bounds."""
    (reached,) = (values >= bars[:, None]).reshape(-1).nonzero()
    reached = reached[allowed.reshape(-1)[reached]]
    return reached, np.searchsorted(reached, np.arange(len(values) + 1) * values.shape[1])


def _ranking_keys(values: NDArray[np.float32], index: NDArray[np.int64]) -> NDArray[np.int64]:
    """
    Return one integer per value that sorts by falling value, then by rising index.

    The bits of a float32, read as an integer, rise with the value; for negative values they fall
    and are inverted. Adding 0 turns -0 into 0.
    """
    bits = (values + np.float32(0)).view(np.int32)
    rising = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (~rising.astype(np.int64) << INDEX_BITS) | index


def _sort_lowest(keys: NDArray[np.int64], num: int) -> None:
    """Bring the `num` lowest keys to the front, in rising order, in place."""
    if 2 * num < len(keys):
        keys.partition(num)
        keys = keys[:num]
    keys.sort()
