"""The k hardest of many anchors, fast and in an order that does not depend on the device."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_SIZE = 1024  # values looked at to guess the k-th one; a partition of so few is next to free


def hardest(hardness: Tensor, k: int) -> Tensor:
    """
    Indices of the `k` highest values, highest first, equal values in index order.

    On the CPU this is numpy's partition, which is vectorised where torch's `topk` is not; other
    devices sort. Both compare in float32 and give the same answer.

    Args:
        hardness: float [A], any float dtype, without NaN.
        k: 0 to A.

    Returns:
        int64 [k] on the device of `hardness`.
    """
    if not 0 <= k <= len(hardness):
        raise ValueError(f"k must be in [0, {len(hardness)}], got {k}")
    values = hardness.detach().float()
    if values.device.type == "cpu":
        return torch.from_numpy(_hardest_by_partition(values.numpy(), k))
    return _hardest_by_sort(values, k)


def _hardest_by_sort(values: Tensor, k: int) -> Tensor:
    return values.sort(descending=True, stable=True).indices[:k]


def _hardest_by_partition(values: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    top = _superset_of_hardest(values, k)
    keys = _ranking_keys(values[top], top)
    if k < len(keys):
        keys = np.partition(keys, k)[:k]
    keys.sort()
    return keys & 0xFFFFFFFF


def _superset_of_hardest(values: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """
    Ascending indices that are sure to include the `k` hardest, and few others as a rule.

    All that reach a bar, guessed from an even sample of the values, are such a set if they are at
    least `k`. Three standard deviations below the expected rank, the bar is seldom too high.
    """
    sample = values[:: max(1, len(values) // SAMPLE_SIZE)]
    expected = k * len(sample) / max(1, len(values))
    rank = int(expected + 3 * expected**0.5) + 2
    if rank < len(sample):
        bar = -np.partition(-sample, rank)[rank]
        reached = np.flatnonzero(values >= bar)
        if len(reached) >= k:
            return reached
    return np.arange(len(values))


def _ranking_keys(values: NDArray[np.float32], index: NDArray[np.int64]) -> NDArray[np.int64]:
    """
    One integer per value that sorts by falling value, then by rising index.

    The bits of a float32, read as an integer, rise with the value; those of negative values fall
    and are turned over. Adding 0 makes -0 equal to 0.
    """
    bits = (values + np.float32(0)).view(np.int32)
    rising = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (~rising.astype(np.int64) << 32) | index
