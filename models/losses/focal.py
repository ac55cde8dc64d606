"""Focal loss: all anchors, the easy ones weighed down instead of left out."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from models.sampling.arguments import require_at_least, require_between


class FocalLoss(nn.Module):
    """
    `-alpha_t * (1 - p_t) ** gamma * log(p_t)` per anchor and class, p a sigmoid.

    Args:
        alpha: weight of positives, that of negatives is `1 - alpha`; in [0, 1], or -1 for none.
        gamma: how fast easy anchors lose weight, at least 0.
        reduction: `none`, `mean` or `sum`. RetinaNet sums and divides by the positives of each
            image, at least 1, so that an image without objects counts in full.

    Source:
        Lin et al. 2017, arXiv:1708.02002; torchvision `ops/focal_loss.py`, same values.
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
        Args:
            inputs: float logits of any shape.
            targets: of the same shape, 1 for the class of the anchor, else 0; values between are
                taken as in torchvision.
        """
        if inputs.shape != targets.shape:
            raise ValueError(f"{list(inputs.shape)=} and {list(targets.shape)=} must be equal")
        targets = targets.to(inputs.dtype)
        p = inputs.sigmoid()
        missed = p + targets - 2 * p * targets  # 1 - p_t
        loss = missed**self.gamma * functional.binary_cross_entropy_with_logits(
            inputs, targets, reduction="none"
        )
        if self.alpha >= 0:
            loss = loss * (self.alpha * targets + (1 - self.alpha) * (1 - targets))
        if self.reduction == "none":
            return loss
        return loss.mean() if self.reduction == "mean" else loss.sum()
