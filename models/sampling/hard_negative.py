"""Hard negatives drawn from a pool of each image's hardest."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.sampling.arguments import (
    require_at_least,
    require_count,
    require_fraction,
    require_no_nan,
)
from models.sampling.arrays import host_array, mask_of
from models.sampling.draw import draw
from models.sampling.hardest import hardest
from models.sampling.runs import Run, split_into_runs


class HardNegativeSampler:
    """
    Random negatives out of a pool of the hardest ones of each image.

    The pool is larger than the draw, so an unlabelled object is not drawn in every step. With P
    positives and N negatives in an image, `num_pos = min(P, int(B * pf))` and
    `num_neg = min(N, max(int(max(1, num_pos) * abs(1 - 1 / pf)), min_neg))`; the negatives come
    uniformly, without replacement, from the `int(num_neg * pool_size)` hardest. Hardness is
    compared in float32. Sampling runs on the CPU, with one copy each way if the labels are on an
    accelerator; the masks are on the device of the labels.

    Args:
        batch_size_per_image: B, positives and negatives wanted per image, at least 1.
        positive_fraction: pf, share of B open to positives, in (0, 1].
        min_neg: lowest number of negatives per image. None: an image without drawn positives gets
            B negatives, any other at least 1.
        pool_size: size of the pool over the number drawn, at least 1; 1 is plain top-k mining.
        generator: source of all draws; None: torch's global generator.

    Source:
        MONAI 1.6 `monai/apps/detection/utils/hard_negative_sampler.py`, after nnDetection
        `nndet/core/boxes/sampler.py`. The calls are the same, and with the same seed on the CPU
        the masks are, too (bool here, uint8 there), as long as no two hardness values are equal:
        equal ones rank by index here, in no defined order there. Different on purpose: there, an
        image without positives teaches with 1 to 3 anchors for any B (`min_neg` defaults to 1,
        which can be passed here), `positive_fraction=0` ends in ZeroDivisionError at the first
        call, `pool_size` below 1 gives fewer negatives than wanted, and NaN ranks hardest. Here
        the last three are refused.
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
        require_count("batch_size_per_image", batch_size_per_image, 1)
        require_fraction("positive_fraction", positive_fraction)
        require_count("min_neg", 0 if min_neg is None else min_neg, 0)
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
        Choose anchors as an `AnchorSampler` does.

        Args:
            target_labels: one int64 [A_i] per image; 1 and up positive, 0 background, below 0
                ignored.
            concat_fg_probs: float [sum of A_i], any float dtype, no NaN.

        Returns:
            One bool [A_i] mask of chosen positives per image, and one of chosen negatives.
        """
        positive: list[Tensor] = []
        negative: list[Tensor] = []
        for run in split_into_runs(target_labels, concat_fg_probs):
            drawn_positive, drawn_negative = self._draw(run)
            positive += run.masks(drawn_positive)
            negative += run.masks(drawn_negative)
        return positive, negative

    def select_samples_img_list(
        self, target_labels: Sequence[Tensor], fg_probs: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Choose as a call does, from one float [A_i] of foreground probabilities per image."""
        shapes = [tuple(labels.shape) for labels in target_labels]
        if shapes != [tuple(probs.shape) for probs in fg_probs]:
            raise ValueError(
                f"labels of shapes {shapes} do not fit probabilities of shapes "
                f"{[tuple(probs.shape) for probs in fg_probs]}"
            )
        return self(target_labels, torch.cat(list(fg_probs)) if fg_probs else torch.empty(0))

    def select_samples_per_img(
        self, labels_per_img: Tensor, fg_probs_per_img: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return bool [A] masks of the chosen positives and negatives of one image."""
        positive, negative = self.select_samples_img_list([labels_per_img], [fg_probs_per_img])
        return positive[0], negative[0]

    def get_num_pos(self, positive: Tensor) -> int:
        """Return how many of the positives, given by their indices [P], to draw."""
        return self._num_pos(len(positive))

    def get_num_neg(self, negative: Tensor, num_pos: int) -> int:
        """Return how many of the negatives, given by their indices [N], to draw."""
        return self._num_neg(len(negative), num_pos)

    def select_positives(self, positive: Tensor, num_pos: int, labels: Tensor) -> Tensor:
        """Return the bool [A] mask of `num_pos` positives, drawn from their indices [P]."""
        if len(positive) > len(labels):
            raise ValueError(f"{len(positive)} positives among {len(labels)} anchors")
        require_count("num_pos", num_pos, 0)
        drawn = draw(positive.cpu().numpy(), num_pos, self.generator)
        return mask_of([drawn], labels.shape, labels.device)

    def select_negatives(self, negative: Tensor, num_neg: int, fg_probs: Tensor) -> Tensor:
        """Return the bool [A] mask of `num_neg` negatives, drawn from the hardest of [N]."""
        if len(negative) > len(fg_probs):
            raise ValueError(f"{len(negative)} negatives among {len(fg_probs)} anchors")
        require_count("num_neg", num_neg, 0)
        values = host_array(fg_probs)
        require_no_nan("fg_probs", values)
        is_negative = np.zeros(len(fg_probs), dtype=np.bool_)
        is_negative[negative.cpu().numpy()] = True
        num_pool = self._num_pool(len(negative), num_neg)
        (pool,) = hardest(values[None], is_negative[None], [num_pool])
        drawn = draw(pool, num_neg, self.generator)
        return mask_of([drawn], fg_probs.shape, fg_probs.device)

    def _num_pos(self, num_positive: int) -> int:
        return min(num_positive, int(self.batch_size_per_image * self.positive_fraction))

    def _num_neg(self, num_negative: int, num_pos: int) -> int:
        by_formula = int(max(1, num_pos) * abs(1 - 1 / self.positive_fraction))
        if self.min_neg is not None:
            floor = self.min_neg
        else:
            floor = self.batch_size_per_image if num_pos == 0 else 1
        return min(num_negative, max(by_formula, floor))

    def _num_pool(self, num_negative: int, num_neg: int) -> int:
        return min(num_negative, int(num_neg * self.pool_size))

    def _draw(self, run: Run) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
        """Draw each image's positives and negatives; return their flat indices."""
        nums_pos = [self._num_pos(len(indices)) for indices in run.positives]
        nums_neg = list(map(self._num_neg, run.num_negatives, nums_pos))
        nums_pool = list(map(self._num_pool, run.num_negatives, nums_neg))
        pools = hardest(run.hardness, run.is_negative, nums_pool)

        positive, negative = [], []
        for indices, num_pos, pool, num_neg in zip(
            run.positives, nums_pos, pools, nums_neg, strict=True
        ):
            positive.append(draw(indices, num_pos, self.generator))
            negative.append(draw(pool, num_neg, self.generator))
        return positive, negative
