"""All positives, and the hardest negatives in a fixed ratio to them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from models.sampling.arguments import (
    require_at_least,
    require_count,
    require_no_nan,
    require_positive,
)
from models.sampling.arrays import host_array, mask_of
from models.sampling.hardest import hardest
from models.sampling.runs import split_into_runs

NEGATIVES_OF_AN_EMPTY_IMAGE = 64  # as many as SSD's ratio of 3 gives to about 20 positives


class NaiveSampler:
    """
    Every anchor of every image.

    Source: GluonCV `gluoncv/nn/sampler.py`.
    """

    def __call__(self, matches: Tensor) -> Tensor:
        """Return int64 [B, A]: 1 where `matches` is an object's index (0 and up), else -1."""
        return torch.where(matches >= 0, 1, -1)


class OHEMSampler:
    """
    Online hard example mining: all positives, and the background anchors most like objects.

    Hardness is -log softmax(logits)[background]. An image gets
    `max(min_samples, floor(ratio * positives))` negatives, or all if it has fewer: anchors that
    match no object and have an IoU below `thresh` with every object.

    Args:
        ratio: negatives per positive, above 0.
        min_samples: lowest number of negatives per image. None: 64 for an image without
            positives, no minimum for others.
        thresh: anchors at or above this IoU are no negatives; at least 0.

    Source:
        Shrivastava et al. 2016, arXiv:1604.03540; GluonCV `gluoncv/nn/sampler.py`. Different from
        the latter on purpose: there, `min_samples` is 0 by default, and an image without objects
        teaches nothing (0 can be passed here); the number of negatives ignores the IoU rule, and
        then excluded anchors are chosen and positives become -1; a single object class crashes;
        a large logit overflows `exp`.
    """

    def __init__(self, ratio: float, min_samples: int | None = None, thresh: float = 0.5) -> None:
        require_positive("ratio", ratio)
        require_count("min_samples", 0 if min_samples is None else min_samples, 0)
        require_at_least("thresh", thresh, 0)
        self.ratio = ratio
        self.min_samples = min_samples
        self.thresh = thresh

    def __call__(self, matches: Tensor, logits: Tensor, ious: Tensor) -> Tensor:
        """
        Choose positives and negatives.

        Args:
            matches: [B, A]; 0 and up the matched object, below 0 none.
            logits: float [B, A, 1 + C], background first; no NaN.
            ious: float [B, A] or [B, A, M] of anchors with objects; M may be 0.

        Returns:
            int64 [B, A]: 1 positive, -1 chosen negative, 0 left out.
        """
        _require_ohem_shapes(matches, logits, ious)
        hardness = host_array(-logits.detach().float().log_softmax(dim=2)[..., 0])
        require_no_nan("-log softmax(logits)", hardness)
        is_positive = matches >= 0
        may_be_negative = (~is_positive & (_highest_iou(ious) < self.thresh)).cpu().numpy()
        nums = [
            min(available, self._num_negatives(num_positive))
            for num_positive, available in zip(
                is_positive.sum(dim=1).tolist(), may_be_negative.sum(axis=1).tolist(), strict=True
            )
        ]
        chosen = mask_of(hardest(hardness, may_be_negative, nums), hardness.shape, matches.device)
        return is_positive.long() - chosen.long()

    def _num_negatives(self, num_positive: int) -> int:
        return max(
            min_negatives_for(num_positive, self.min_samples), math.floor(self.ratio * num_positive)
        )


class RatioSampler:
    """
    SSD's rule: all positives, and the hardest negatives in a fixed ratio to them.

    Negatives are the `ceil(neg_pos_ratio * positives)` background anchors with the highest
    foreground probability, at least `min_negatives`. There are no random draws: the same hardest
    anchors come back until they are learnt.

    Args:
        neg_pos_ratio: negatives per positive, above 0.
        min_negatives: lowest number of negatives per image. None: 64 for an image without
            positives, no minimum for others.

    Source:
        Liu et al. 2016 (SSD), arXiv:1512.02325, section 2.2. Unlike there (and in torchvision's
        `SSD.compute_loss`), an image without objects has negatives.
    """

    def __init__(self, neg_pos_ratio: float = 3.0, min_negatives: int | None = None) -> None:
        require_positive("neg_pos_ratio", neg_pos_ratio)
        require_count("min_negatives", 0 if min_negatives is None else min_negatives, 0)
        self.neg_pos_ratio = neg_pos_ratio
        self.min_negatives = min_negatives

    def __call__(
        self, target_labels: Sequence[Tensor], concat_fg_probs: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """
        Choose as an `AnchorSampler` does.

        Raises:
            ValueError: A probability is NaN, or lengths do not add up.
        """
        positive: list[Tensor] = []
        negative: list[Tensor] = []
        for run in split_into_runs(target_labels, concat_fg_probs):
            nums = [
                negatives_by_ratio(len(p), n, self.neg_pos_ratio, self.min_negatives)
                for p, n in zip(run.positives, run.num_negatives, strict=True)
            ]
            positive += run.masks(run.positives)
            negative += run.masks(hardest(run.hardness, run.is_negative, nums))
        return positive, negative


def negatives_by_ratio(
    num_positive: int, num_negative: int, neg_pos_ratio: float, min_negatives: int | None
) -> int:
    """Return the number of negatives by SSD's rule; a fraction of one counts as one."""
    wanted = math.ceil(neg_pos_ratio * num_positive)
    return min(num_negative, max(min_negatives_for(num_positive, min_negatives), wanted))


def min_negatives_for(num_positive: int, min_negatives: int | None) -> int:
    """Return the lowest number of negatives; None means 64 without positives, else 0."""
    if min_negatives is not None:
        return min_negatives
    return NEGATIVES_OF_AN_EMPTY_IMAGE if num_positive == 0 else 0


def _highest_iou(ious: Tensor) -> Tensor:
    if ious.ndim == 2:
        return ious
    return ious.amax(dim=2) if ious.shape[2] else ious.new_zeros(ious.shape[:2])


def _require_ohem_shapes(matches: Tensor, logits: Tensor, ious: Tensor) -> None:
    fits = (
        matches.ndim == 2
        and logits.ndim == 3
        and logits.shape[2] >= 2
        and ious.ndim in (2, 3)
        and logits.shape[:2] == ious.shape[:2] == matches.shape
    )
    if not fits:
        raise ValueError(
            f"need matches [B, A], logits [B, A, 1 + C] and ious [B, A] or [B, A, M], got "
            f"{tuple(matches.shape)}, {tuple(logits.shape)} and {tuple(ious.shape)}"
        )
