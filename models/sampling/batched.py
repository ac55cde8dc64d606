"""Hard negatives of a whole batch, from any of its images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.sampling.hard_negative import HardNegativeSampler


class BatchedHardNegativeSampler:
    """
    A `HardNegativeSampler` over all anchors of the batch together: hard images get more of them.

    Args:
        batch_size_per_image: anchors wanted per image on average, at least 1.
        positive_fraction: share of the batch open to positives, in (0, 1].
        min_neg: lowest number of negatives in the batch. None: a batch without drawn positives is
            filled with negatives, any other has at least 1.
        pool_size: size of the pool over the number drawn, at least 1.
        generator: source of all draws; None: torch's global generator.

    Source:
        nnDetection `nndet/core/boxes/sampler.py`, `HardNegativeSamplerBatched`. Different on
        purpose: `min_neg` is 0 there, and a batch without objects teaches with 1 to 3 anchors.
    """

    def __init__(
        self,
        batch_size_per_image: int,
        positive_fraction: float,
        min_neg: int | None = None,
        pool_size: float = 10.0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self._per_image = HardNegativeSampler(
            batch_size_per_image, positive_fraction, min_neg, pool_size, generator=generator
        )

    def __call__(
        self, target_labels: Sequence[Tensor], concat_fg_probs: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """
        Choose as an `AnchorSampler` does.

        Raises:
            ValueError: A probability is NaN, or lengths do not add up.
        """
        if not target_labels:
            return self._per_image(target_labels, concat_fg_probs)
        one = self._per_image
        of_batch = HardNegativeSampler(
            one.batch_size_per_image * len(target_labels),
            one.positive_fraction,
            one.min_neg,
            one.pool_size,
            generator=one.generator,
        )
        (positive,), (negative,) = of_batch([torch.cat(list(target_labels))], concat_fg_probs)
        lengths = [len(labels) for labels in target_labels]
        return list(torch.split(positive, lengths)), list(torch.split(negative, lengths))
