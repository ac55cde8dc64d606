"""Checks of arguments that the samplers share; each raises a ValueError that gives the value."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def require_at_least(name: str, value: float, minimum: float) -> None:
    """Check that `value` is finite and at least `minimum`."""
    if not math.isfinite(value) or value < minimum:
        raise ValueError(f"{name} must be finite and at least {minimum}, got {value}")


def require_count(name: str, value: int, minimum: int) -> None:
    """Check that `value` is a whole number and at least `minimum`."""
    require_at_least(name, value, minimum)
    if value != int(value):
        raise ValueError(f"{name} must be a whole number, got {value}")


def require_positive(name: str, value: float) -> None:
    """Check that `value` is finite and above 0."""
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be finite and above 0, got {value}")


def require_fraction(name: str, value: float) -> None:
    """Check that `value` is in (0, 1]; at 0 MONAI divides by zero in its first call."""
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be in (0, 1], got {value}")


def require_between(name: str, value: float, low: float, high: float) -> None:
    """Check that `value` is in [low, high]."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be in [{low}, {high}], got {value}")


def require_no_nan(name: str, values: NDArray[np.float32]) -> None:
    """Check that no value is NaN, which `topk` would rank above everything."""
    if values.size and np.isnan(values.max()):  # NaN if any value is
        raise ValueError(f"{name} must not hold NaN: it cannot be ranked")


def require_flat_and_equal(target_labels: Sequence[Tensor], concat_fg_probs: Tensor) -> list[int]:
    """Return each image's number of anchors; check that they add up to the probabilities."""
    lengths = require_flat(target_labels)
    num_anchors = sum(lengths)
    if concat_fg_probs.shape != (num_anchors,):
        raise ValueError(
            f"labels of {num_anchors} anchors need foreground probabilities [{num_anchors}], got "
            f"{list(concat_fg_probs.shape)}"
        )
    return lengths


def require_flat(target_labels: Sequence[Tensor]) -> list[int]:
    """Return each image's number of anchors; check that its labels are [A_i]."""
    shapes = [labels.shape for labels in target_labels]
    if any(len(shape) != 1 for shape in shapes):
        raise ValueError(f"labels must be [A_i] for each image, got {list(map(list, shapes))}")
    return [shape[0] for shape in shapes]
