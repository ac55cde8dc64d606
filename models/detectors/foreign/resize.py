"""Bilinear resizes to the very pixels of OpenCV or, with a filter, nearly those of Pillow."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# Of OpenCV's resize.cpp for 8-bit pixels: weights have 11 bits, sums lose 4 and then 16 + 2 bits.
WEIGHT_ONE = 2**11
ROW_SHIFT, COLUMN_SHIFT, LAST_SHIFT = 4, 16, 2


class _Taps(NamedTuple):
    """The two source pixels of each target pixel along one axis, and their int32 weights."""

    below: Tensor
    above: Tensor
    weight_below: Tensor
    weight_above: Tensor


def resize_pixels(image: Tensor, size: tuple[int, int], *, antialias: bool) -> Tensor:
    """
    Resize uint8 [3, H, W] to uint8 [3, h, w].

    With `antialias`, images shrink through a filter as wide as the scale asks for, as in Pillow and
    torchvision. Without, the result is that of OpenCV's INTER_LINEAR, bit for bit.
    """
    if tuple(image.shape[1:]) == size:
        return image
    if antialias:
        shrunk = functional.interpolate(
            image.unsqueeze(0), size=size, mode="bilinear", align_corners=False, antialias=True
        )
        return shrunk.squeeze(0)
    return _resize_as_opencv(image, size)


def _resize_as_opencv(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute in integers: all the rounding of OpenCV's kernel is reproduced."""
    rows = _taps(image.shape[1], size[0], is_horizontal=False)
    columns = _taps(image.shape[2], size[1], is_horizontal=True)
    if image.shape[1] <= 2 * size[0]:  # then each row is needed about once or more often
        whole = _blend_columns(image, columns)
        above, below = whole.index_select(1, rows.above), whole.index_select(1, rows.below)
    else:
        above = _blend_columns(image.index_select(1, rows.above), columns)
        below = _blend_columns(image.index_select(1, rows.below), columns)
    above.mul_(rows.weight_above[:, None]).bitwise_right_shift_(COLUMN_SHIFT)
    below.mul_(rows.weight_below[:, None]).bitwise_right_shift_(COLUMN_SHIFT)
    half = 1 << (LAST_SHIFT - 1)
    return below.add_(above).add_(half).bitwise_right_shift_(LAST_SHIFT).to(torch.uint8)


def _blend_columns(rows: Tensor, taps: _Taps) -> Tensor:
    below = rows.index_select(2, taps.below).int().mul_(taps.weight_below)
    above = rows.index_select(2, taps.above).int().mul_(taps.weight_above)
    return below.add_(above).bitwise_right_shift_(ROW_SHIFT)


@lru_cache(maxsize=256)
def _taps(length: int, target: int, *, is_horizontal: bool) -> _Taps:
    """Work out taps; OpenCV gives columns at the edge one source, and rows the same one twice."""
    places = (torch.arange(target, dtype=torch.float64) + 0.5) * (length / target) - 0.5
    places = places.float()
    below = places.floor()
    share = places - below
    if is_horizontal:
        share[(below < 0) | (below >= length - 1)] = 0
    first = below.long()
    return _Taps(
        first.clamp(0, length - 1),
        (first + 1).clamp(0, length - 1),
        ((1 - share) * WEIGHT_ONE).round().int(),
        (share * WEIGHT_ONE).round().int(),
    )
