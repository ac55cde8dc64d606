"""Classification losses of the anchors that a sampler chose."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from models.losses.focal import one_hot_targets


def sampled_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    positive: Tensor,
    negative: Tensor,
    negative_weight: float,
) -> Tensor:
    """
    Average a softmax's cross entropy over positives and over negatives apart; SSD trains with it.

    The result is `mean(positives) + negative_weight * mean(negatives)`. Images without objects
    cannot drown the positives of others, however many anchors they add.

    Args:
        logits: float [B, A, 1 + K], background first.
        labels: int64 [B, A]; 0 background, 1 and up a class.
        positive: bool [B, A], the chosen anchors of objects.
        negative: bool [B, A], the chosen background anchors.
        negative_weight: weight of the negatives' mean.
    """

    def summed(chosen: Tensor) -> Tensor:
        return functional.cross_entropy(logits[chosen], labels[chosen], reduction="sum")

    return _average_apart(summed, positive, negative, negative_weight)


def sampled_binary_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    positive: Tensor,
    negative: Tensor,
    negative_weight: float,
) -> Tensor:
    """
    Average binary cross entropy over positives and over negatives apart.

    RetinaNet and FCOS train with it where they have a sampler. Arguments and result are those of
    `sampled_cross_entropy`, but column 0 belongs to no class, and its target is always 0.
    """

    def summed(chosen: Tensor) -> Tensor:
        targets = one_hot_targets(logits[chosen], labels[chosen])
        return functional.binary_cross_entropy_with_logits(logits[chosen], targets, reduction="sum")

    return _average_apart(summed, positive, negative, negative_weight)


def _average_apart(
    summed: Callable[[Tensor], Tensor],
    positive: Tensor,
    negative: Tensor,
    negative_weight: float,
) -> Tensor:
    of_positives = summed(positive) / positive.sum().clamp(min=1)
    of_negatives = negative_weight * summed(negative) / negative.sum().clamp(min=1)
    return of_positives + of_negatives
