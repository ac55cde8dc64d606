"""The call that detectors expect of an anchor sampler."""

from typing import Protocol

from torch import Tensor


class AnchorSampler(Protocol):
    """A callable that chooses the anchors of a batch that enter the loss."""

    def __call__(
        self, target_labels: list[Tensor], concat_fg_probs: Tensor, /
    ) -> tuple[list[Tensor], list[Tensor]]:
        """
        Choose positives and negatives.

        Args:
            target_labels: one int64 [A_i] per image; -1 and below ignored, 0 background, 1 and up
                an object class.
            concat_fg_probs: float [sum of A_i], highest object-class probability of each anchor,
                images one after the other. It carries no gradient.

        Returns:
            One bool [A_i] mask of chosen positives per image, and one of chosen negatives.
        """
        ...
