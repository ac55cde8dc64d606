"""Checks that the samplers share: a caller's mistake is a ValueError that names its value."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def require_at_least(name: str, value: float, minimum: float) -> None:
    """Raises ValueError unless `value` is finite and no less than `minimum`."""
    if not math.isfinite(value) or value < minimum:
        raise ValueError(f"{name} must be finite and at least {minimum}, got {value}")


def require_count(name: str, value: int, minimum: int) -> None:
    """Raises ValueError unless `value` is a whole number and no less than `minimum`."""
    require_at_least(name, value, minimum)
    if value != int(value):
        raise ValueError(f"{name} must be a whole number, got {value}")


def require_positive(name: str, value: float) -> None:
    """Raises ValueError unless `value` is finite and above 0."""
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be finite and above 0, got {value}")


def require_fraction(name: str, value: float) -> None:
    """Raises ValueError outside (0, 1]; at 0 MONAI divides by zero in its first call."""
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be in (0, 1], got {value}")


def require_between(name: str, value: float, low: float, high: float) -> None:
    """Raises ValueError outside [low, high]."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be in [{low}, {high}], got {value}")


def require_no_nan(name: str, values: NDArray[np.float32]) -> None:
    """Raises ValueError on NaN, which `topk` would rank above everything."""
    if values.size and np.isnan(values.max()):  # the maximum is NaN if any value is
        raise ValueError(f"{name} holds NaN, which has no place in a ranking")


def require_flat_and_equal(target_labels: Sequence[Tensor], concat_fg_probs: Tensor) -> list[int]:
    """The number of anchors of each image; ValueError unless the [A_i] add up to one [R]."""
    lengths = require_flat(target_labels)
    num_anchors = sum(lengths)
    if concat_fg_probs.shape != (num_anchors,):
        raise ValueError(
            f"labels of {num_anchors} anchors need foreground probabilities [{num_anchors}], got "
            f"{list(concat_fg_probs.shape)}"
        )
    return lengths


def require_flat(target_labels: Sequence[Tensor]) -> list[int]:
    """The number of anchors of each image; ValueError unless the labels of each are [A_i]."""
    shapes = [labels.shape for labels in target_labels]
    if any(len(shape) != 1 for shape in shapes):
        raise ValueError(f"labels must be [A_i] for each image, got {list(map(list, shapes))}")
    return [shape[0] for shape in shapes]
