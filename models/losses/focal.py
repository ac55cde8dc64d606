"""Focal loss: all anchors teach, and the easy ones count for little."""

from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from models.sampling.arguments import require_at_least, require_between


class FocalLoss(nn.Module):
    """
    `-alpha_t * (1 - p_t) ** gamma * log(p_t)` per anchor and class, where p is a sigmoid.

    A thin face on the torchvision function that RetinaNet and FCOS train with through
    `focal_loss_of_anchors`: it adds checks of the arguments, and accepts integer targets.

    Args:
        alpha: weight of positives; negatives weigh `1 - alpha`. In [0, 1], or -1 for no weights.
        gamma: how fast easy anchors lose weight, at least 0.
        reduction: `none`, `mean` or `sum`.

    Source:
        Lin et al. 2017, arXiv:1708.02002; torchvision `ops/focal_loss.py`.
    """

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        reduction: Literal["none", "mean", "sum"] = "none",
    ) -> None:
        super().__init__()
        if alpha != -1:
            require_between("alpha", alpha, 0, 1)
        require_at_least("gamma", gamma, 0)
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(f"reduction must be none, mean or sum, got {reduction!r}")
        self.alpha = alpha
        self.gamma = gamma
        self.reduction = reduction

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """
        Return the loss in the shape of `inputs`, or a scalar if it is reduced.

        Args:
            inputs: float logits of any shape.
            targets: same shape; 1 for the class of the anchor, else 0. Values in between are
                allowed, as in torchvision.
        """
        if inputs.shape != targets.shape:
            raise ValueError(f"{list(inputs.shape)=} and {list(targets.shape)=} must be equal")
        loss: Tensor = sigmoid_focal_loss(
            inputs, targets.to(inputs.dtype), self.alpha, self.gamma, self.reduction
        )
        return loss


def focal_loss_of_anchors(logits: Tensor, labels: Tensor, negative_weight: float) -> Tensor:
    """
    Sum focal loss over every anchor that is not ignored, and divide by the number of positives.

    Positives are counted over the whole batch, and the batch's images are taken if they are more.
    torchvision divides each image by its own positives: an image without objects then weighs as
    much as all its anchors together, tens of times as much as a labelled one.

    Args:
        logits: float [B, A, 1 + K]; column 0 belongs to no class, and its target is always 0.
        labels: int64 [B, A]; -1 ignored, 0 background, 1 and up a class.
        negative_weight: weight of background anchors.
    """
    loss = sigmoid_focal_loss(logits, one_hot_targets(logits, labels), reduction="none").sum(-1)
    weight = torch.where(labels == 0, negative_weight, (labels > 0).to(loss.dtype))
    num_positive = int((labels > 0).sum())
    total: Tensor = (loss * weight).sum() / max(num_positive, len(logits))
    return total


def one_hot_targets(logits: Tensor, labels: Tensor) -> Tensor:
    """Return targets like `logits` [..., 1 + K]: 1 at the label of a positive anchor, else 0."""
    index = labels.clamp(min=0).unsqueeze(-1)
    return torch.zeros_like(logits).scatter(-1, index, (index > 0).to(logits.dtype))
