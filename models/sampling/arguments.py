"""Checks that the samplers share: a caller's mistake is a ValueError that names its value."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def require_at_least(name: str, value: float, minimum: float) -> None:
    """Raises ValueError unless `value` is finite and no less than `minimum`."""
    if not math.isfinite(value) or value < minimum:
        raise ValueError(f"{name} must be finite and at least {minimum}, got {value}")


def require_fraction(name: str, value: float) -> None:
    """Raises ValueError outside (0, 1]; at 0 MONAI divides by zero in its first call."""
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be in (0, 1], got {value}")


def require_no_nan(name: str, values: Tensor) -> None:
    """Raises ValueError on NaN, which `topk` would rank above everything."""
    if torch.isnan(values).any():
        raise ValueError(f"{name} holds NaN, which has no place in a ranking")


def split_per_image(target_labels: Sequence[Tensor], concat_fg_probs: Tensor) -> list[Tensor]:
    """Cut [sum of A_i] into one [A_i] per image; ValueError if the lengths do not add up."""
    if concat_fg_probs.ndim != 1 or any(labels.ndim != 1 for labels in target_labels):
        raise ValueError(
            f"labels [A_i] and foreground probabilities [R] must be flat, got shapes "
            f"{[tuple(labels.shape) for labels in target_labels]} and "
            f"{tuple(concat_fg_probs.shape)}"
        )
    anchors_per_image = [len(labels) for labels in target_labels]
    if sum(anchors_per_image) != len(concat_fg_probs):
        raise ValueError(
            f"{len(concat_fg_probs)} foreground probabilities for {anchors_per_image} anchors"
        )
    return list(torch.split(concat_fg_probs, anchors_per_image)) if anchors_per_image else []
