"""Runs of neighbouring images with equally many anchors, as arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.sampling.arguments import require_flat_and_equal, require_no_nan
from models.sampling.arrays import host_array, mask_of

RUN_LENGTH = 1 << 18  # anchors handled together; more do not fit into a processor's cache


@dataclass(frozen=True, slots=True)
class Run:
    """
    Neighbouring images with A anchors each.

    Attributes:
        positives: for each image, the ascending indices of its positives into the flat [B, A].
        is_negative: bool [B, A].
        num_negatives: number of negatives of each image.
        hardness: float32 [B, A].
        device: the labels' device, which masks go to.
    """

    positives: list[NDArray[np.int64]]
    is_negative: NDArray[np.bool_]
    num_negatives: list[int]
    hardness: NDArray[np.float32]
    device: torch.device

    def masks(self, chosen: Sequence[NDArray[np.int64]]) -> list[Tensor]:
        """Return one bool [A] per image that is true at these indices into the flat [B, A]."""
        return list(mask_of(chosen, self.hardness.shape, self.device).unbind())


def split_into_runs(target_labels: Sequence[Tensor], concat_fg_probs: Tensor) -> Iterator[Run]:
    """
    Group the images in their order. Arguments are those of an `AnchorSampler`.

    Raises:
        ValueError: A probability is NaN, or lengths do not add up.
    """
    lengths = require_flat_and_equal(target_labels, concat_fg_probs)
    hardness = host_array(concat_fg_probs)
    require_no_nan("concat_fg_probs", hardness)
    start = 0
    for images in _slices_of_one_length(lengths):
        num_images, length = images.stop - images.start, lengths[images.start]
        stop = start + num_images * length
        yield _run(target_labels[images], hardness[start:stop].reshape(num_images, length))
        start = stop


def _slices_of_one_length(lengths: list[int]) -> list[slice]:
    slices = []
    first = 0
    for i in range(1, len(lengths) + 1):
        is_full = i == len(lengths) or (i + 1 - first) * lengths[first] > RUN_LENGTH
        if is_full or lengths[i] != lengths[first]:
            slices.append(slice(first, i))
            first = i
    return slices


def _run(target_labels: Sequence[Tensor], hardness: NDArray[np.float32]) -> Run:
    arrays = [labels.numpy(force=True) for labels in target_labels]
    labels = np.stack(arrays) if len(arrays) > 1 else arrays[0][None]
    is_negative = labels == 0
    (others,) = (~is_negative).reshape(-1).nonzero()  # few; saves a second pass over the labels
    positive = others[labels.reshape(-1)[others] >= 1]
    bounds = np.searchsorted(positive, np.arange(len(labels) + 1) * labels.shape[1])
    return Run(
        positives=[positive[start:stop] for start, stop in pairwise(bounds)],
        is_negative=is_negative,
        num_negatives=[int(np.count_nonzero(image)) for image in is_negative],
        hardness=hardness,
        device=target_labels[0].device,
    )
