"""Samplers that ignore hardness: baselines for comparisons."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.sampling.arguments import (
    require_count,
    require_flat,
    require_fraction,
)
from models.sampling.arrays import mask_of
from models.sampling.draw import draw


class BalancedSampler:
    """
    Random positives and negatives of each image: `num_pos = min(P, int(B * pf))`, then negatives
    until the batch of `B` is full.

    Args:
        batch_size_per_image: B, positives and negatives wanted per image, at least 1.
        positive_fraction: pf, share of B open to positives, in (0, 1].
        generator: source of all draws; None: torch's global generator.

    Source:
        torchvision `models/detection/_utils.py`, `BalancedPositiveNegativeSampler`. The same
        seed on the CPU gives the same masks, bool here and uint8 there.
    """

    def __init__(
        self,
        batch_size_per_image: int,
        positive_fraction: float,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        require_count("batch_size_per_image", batch_size_per_image, 1)
        require_fraction("positive_fraction", positive_fraction)
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction
        self.generator = generator

    def __call__(
        self, target_labels: Sequence[Tensor], concat_fg_probs: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Choose as an `AnchorSampler` does; probabilities are not used and may be left out."""
        require_flat(target_labels)
        masks = [self._select(labels) for labels in target_labels]
        return [positive for positive, _ in masks], [negative for _, negative in masks]

    def _select(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        array = labels.cpu().numpy()
        positive, negative = np.flatnonzero(array >= 1), np.flatnonzero(array == 0)
        num_pos = min(len(positive), int(self.batch_size_per_image * self.positive_fraction))
        num_neg = self.batch_size_per_image - num_pos
        drawn_positive = draw(positive, num_pos, self.generator)
        drawn_negative = draw(negative, num_neg, self.generator)
        return (
            mask_of([drawn_positive], labels.shape, labels.device),
            mask_of([drawn_negative], labels.shape, labels.device),
        )


class AllAnchors:
    """Every positive and every negative, all but the ignored anchors; made for focal loss."""

    def __call__(
        self, target_labels: Sequence[Tensor], concat_fg_probs: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Choose as an `AnchorSampler` does; probabilities are not used and may be left out."""
        return [labels >= 1 for labels in target_labels], [labels == 0 for labels in target_labels]
