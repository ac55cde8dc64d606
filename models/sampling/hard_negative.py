"""Hard negatives drawn from a pool of the hardest, per image or over a whole batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.sampling.arguments import (
    require_at_least,
    require_fraction,
    require_no_nan,
    split_per_image,
)
from models.sampling.hardest import hardest


class HardNegativeSampler:
    """
    Draws negatives at random from the hardest ones of each image, a pool larger than the draw.

    The pool keeps one unlabelled object from being drawn in every step. With P positives and N
    negatives in an image, `num_pos = min(P, int(B * pf))` and
    `num_neg = min(N, max(int(max(1, num_pos) * abs(1 - 1 / pf)), min_neg))`; the negatives come
    uniformly, without replacement, from the `int(num_neg * pool_size)` hardest.

    Args:
        batch_size_per_image: B, positives and negatives wanted per image, at least 1.
        positive_fraction: pf, share of B open to positives, in (0, 1].
        min_neg: lowest number of negatives per image. None: an image of which no positive is
            drawn gets B negatives, any other at least 1.
        pool_size: size of the pool over the number drawn, at least 1; 1 is plain top-k mining.
        generator: makes every draw repeatable; without it torch's global generator is used.

    Source:
        MONAI 1.6 `monai/apps/detection/utils/hard_negative_sampler.py`, after nnDetection
        `nndet/core/boxes/sampler.py`. Same calls and, with the same seed, the same masks (bool
        here, uint8 there) as long as no two hardness values are equal; here equal ones rank by
        index, there in no defined order. Not taken over: an image without positives taught with
        one to three anchors whatever B was (there `min_neg` defaults to 1, which can be passed);
        `positive_fraction=0` ended in ZeroDivisionError at the first call; `pool_size` below 1
        gave fewer negatives than asked for; NaN ranked hardest. The last three are refused.
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
        require_at_least("batch_size_per_image", batch_size_per_image, 1)
        require_fraction("positive_fraction", positive_fraction)
        require_at_least("min_neg", 0 if min_neg is None else min_neg, 0)
        require_at_least("pool_size", pool_size, 1)
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction
        self.min_neg = min_neg
        self.pool_size = pool_size
        self.generator = generator

    def __call__(
        self, target_labels: Sequence[Tensor], concat_fg_probs: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """
        Args:
            target_labels: one int64 [A_i] per image; 1 and up positive, 0 background, below 0
                ignored.
            concat_fg_probs: float [sum of A_i], any float dtype, no NaN.

        Returns:
            One bool [A_i] mask of chosen positives per image, and one of chosen negatives.
        """
        fg_probs = split_per_image(target_labels, concat_fg_probs)
        return self.select_samples_img_list(target_labels, fg_probs)

    def select_samples_img_list(
        self, target_labels: Sequence[Tensor], fg_probs: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """As a call, with one float [A_i] of foreground probabilities per image."""
        if len(target_labels) != len(fg_probs):
            raise ValueError(
                f"labels of {len(target_labels)} images, probabilities of {len(fg_probs)}"
            )
        masks = [
            self.select_samples_per_img(labels, probs)
            for labels, probs in zip(target_labels, fg_probs, strict=True)
        ]
        return [positive for positive, _ in masks], [negative for _, negative in masks]

    def select_samples_per_img(
        self, labels_per_img: Tensor, fg_probs_per_img: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Bool [A] masks of the chosen positives and negatives of one image."""
        if labels_per_img.ndim != 1 or labels_per_img.shape != fg_probs_per_img.shape:
            raise ValueError(
                f"labels and probabilities of an image must be two equal [A], got "
                f"{tuple(labels_per_img.shape)} and {tuple(fg_probs_per_img.shape)}"
            )
        positive, negative = positives_and_negatives(labels_per_img)
        num_pos = self.get_num_pos(positive)
        positive_mask = self.select_positives(positive, num_pos, labels_per_img)
        num_neg = self.get_num_neg(negative, num_pos)
        return positive_mask, self.select_negatives(negative, num_neg, fg_probs_per_img)

    def get_num_pos(self, positive: Tensor) -> int:
        """How many of the positives, given by their indices [P], to draw."""
        return min(len(positive), int(self.batch_size_per_image * self.positive_fraction))

    def get_num_neg(self, negative: Tensor, num_pos: int) -> int:
        """How many of the negatives, given by their indices [N], go with `num_pos` positives."""
        by_formula = int(max(1, num_pos) * abs(1 - 1 / self.positive_fraction))
        if self.min_neg is not None:
            floor = self.min_neg
        else:
            floor = self.batch_size_per_image if num_pos == 0 else 1
        return min(len(negative), max(by_formula, floor))

    def select_positives(self, positive: Tensor, num_pos: int, labels: Tensor) -> Tensor:
        """Bool [A] mask of `num_pos` positives, drawn uniformly from their indices [P]."""
        if len(positive) > len(labels):
            raise ValueError(f"{len(positive)} positives among {len(labels)} anchors")
        return _mask_of(draw(positive, num_pos, self.generator), len(labels))

    def select_negatives(self, negative: Tensor, num_neg: int, fg_probs: Tensor) -> Tensor:
        """Bool [A] mask of `num_neg` negatives, drawn from the hardest of their indices [N]."""
        if len(negative) > len(fg_probs):
            raise ValueError(f"{len(negative)} negatives among {len(fg_probs)} anchors")
        require_at_least("num_neg", num_neg, 0)
        require_no_nan("fg_probs", fg_probs)
        num_pool = min(len(negative), int(num_neg * self.pool_size))
        pool = negative[hardest(fg_probs[negative], num_pool)]
        return _mask_of(draw(pool, num_neg, self.generator), len(fg_probs))


def positives_and_negatives(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Ascending int64 indices of the labels from 1 up, and of the zeros."""
    if labels.device.type == "cpu":  # numpy finds few in many several times faster
        array = labels.numpy()
        return torch.from_numpy(np.flatnonzero(array >= 1)), torch.from_numpy(
            np.flatnonzero(array == 0)
        )
    return (labels >= 1).nonzero().flatten(), (labels == 0).nonzero().flatten()


def draw(indices: Tensor, num: int, generator: torch.Generator | None) -> Tensor:
    """`num` of the indices, uniformly and without replacement; all if there are fewer."""
    device = indices.device if generator is None else generator.device
    order = torch.randperm(len(indices), generator=generator, device=device)[:num]
    return indices[order.to(indices.device)]


def _mask_of(indices: Tensor, num_anchors: int) -> Tensor:
    mask = torch.zeros(num_anchors, dtype=torch.bool, device=indices.device)
    mask[indices] = True
    return mask
