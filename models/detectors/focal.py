"""Classification losses of heads with one sigmoid per class (RetinaNet, FCOS)."""

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss


def focal_loss_of_all(logits: Tensor, labels: Tensor, negative_weight: float) -> Tensor:
    """
    Focal loss over every anchor that is not ignored.

    The sum is divided by the positives of the whole batch, but at least by its images. torchvision
    divides each image by its own positives: an image without objects then weighs as much as all
    anchors of it together, tens of times a labelled one.

    Args:
        logits: float [B, A, 1 + K]; column 0 belongs to no class and is always taught 0.
        labels: int64 [B, A]; -1 ignored, 0 background, 1 and up a class.
        negative_weight: weight of background anchors.
    """
    loss = sigmoid_focal_loss(logits, _one_hot(logits, labels), reduction="none").sum(-1)
    weight = torch.where(labels == 0, negative_weight, (labels > 0).to(loss.dtype))
    num_positive = int((labels > 0).sum())
    total: Tensor = (loss * weight).sum() / max(num_positive, len(logits))
    return total


def loss_of_sampled(
    logits: Tensor,
    labels: Tensor,
    positive: list[Tensor],
    negative: list[Tensor],
    negative_weight: float,
) -> Tensor:
    """
    Binary cross entropy of the anchors that a sampler chose, mean over its positives plus
    `negative_weight` times the mean over its negatives; shapes as in `focal_loss_of_all`, masks
    bool [A] per image.
    """
    total = logits.new_zeros(())
    for masks, weight in ((positive, 1.0), (negative, negative_weight)):
        chosen = torch.stack(masks)
        wanted = _one_hot(logits[chosen], labels[chosen])
        loss = functional.binary_cross_entropy_with_logits(logits[chosen], wanted, reduction="sum")
        total = total + weight * loss / chosen.sum().clamp(min=1)
    return total


def _one_hot(logits: Tensor, labels: Tensor) -> Tensor:
    """float, as `logits`: 1 at the label of a positive anchor, else 0."""
    index = labels.clamp(min=0).unsqueeze(-1)
    return torch.zeros_like(logits).scatter(-1, index, (index > 0).to(logits.dtype))
