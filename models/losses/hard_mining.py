"""Cross entropy over all positives and the hardest negatives, after SSD."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.sampling.ratio import RatioSampler

PIECE_SIZE = 1 << 18  # logits handled at once: 1 MB


class HardMiningCrossEntropyLoss(nn.Module):
    """
    Cross entropy of all positives and of the hardest negatives, summed per image.

    A thin face, with super-gradients' call, on the `RatioSampler` that our SSD detectors train
    with. Hardness is the cross entropy of an anchor as background. The hardest are chosen without
    a graph; only the chosen anchors, a small part of all, enter the cross entropy that is
    differentiated.

    Args:
        neg_pos_ratio: negatives per positive, above 0; a fraction of a negative counts as one.
        min_negatives: lowest number of negatives per image. None: 64 for an image without
            positives, no minimum for others.

    Source:
        super-gradients `training/losses/ssd_loss.py`. Different on purpose: there, an image
        without positives has no negatives and no gradient (`min_negatives=0` does the same here),
        and positives count twice where `neg_pos_ratio * positives` exceeds the negatives.
    """

    def __init__(self, neg_pos_ratio: float, min_negatives: int | None = None) -> None:
        super().__init__()
        self.sampler = RatioSampler(neg_pos_ratio, min_negatives)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """
        Return float [B], the sum over the chosen anchors of each image.

        Args:
            logits: float [B, C, A], class 0 is background.
            labels: int64 [B, A]; 1 and up an object class, 0 background, below 0 ignored.
        """
        chosen = self.choose(logits, labels) | (labels > 0)
        return summed_cross_entropy(logits, labels, chosen)

    @torch.no_grad()
    def choose(self, logits: Tensor, labels: Tensor) -> Tensor:
        """
        Return bool [B, A], the negatives that `forward` uses.

        Raises:
            ValueError: The shapes do not fit each other, or a logit is NaN.
        """
        if logits.ndim != 3 or labels.shape != (len(logits), logits.shape[2]):
            raise ValueError(
                f"need logits [B, C, A] and labels [B, A], got {list(logits.shape)} and "
                f"{list(labels.shape)}"
            )
        _, negative = self.sampler(list(labels), background_loss(logits).flatten())
        return torch.stack(negative) if negative else torch.zeros_like(labels, dtype=torch.bool)


def background_loss(logits: Tensor) -> Tensor:
    """
    Return -log softmax(logits)[0] as float32 [B, A] for logits [B, C, A], without a graph.

    It is computed as log sum exp(l_j - l_0), piece by piece to stay in the processor's cache. The
    stable form needs another pass, and only anchors where the first one overflows get it.
    """
    num_images, num_classes, num_anchors = logits.shape
    loss = torch.empty((num_images, num_anchors), device=logits.device)
    piece = max(1, PIECE_SIZE // max(1, num_classes))
    for image_loss, image in zip(loss, logits.detach(), strict=True):
        for part, values in zip(image_loss.split(piece), image.split(piece, dim=1), strict=True):
            torch.sum((values.float() - values[0].float()).exp_(), dim=0, out=part)
    loss.log_()
    overflown = ~loss.isfinite()
    if overflown.any():
        exact = logits.detach().transpose(1, 2)[overflown].float()
        loss[overflown] = exact.logsumexp(dim=1) - exact[:, 0]
    return loss


def summed_cross_entropy(logits: Tensor, labels: Tensor, chosen: Tensor) -> Tensor:
    """Return float [B], the cross entropy summed over the chosen anchors [B, A] of each image."""
    image, anchor = chosen.nonzero(as_tuple=True)
    loss = functional.cross_entropy(
        logits[image, :, anchor].float(), labels[image, anchor], reduction="none"
    )
    return loss.new_zeros(len(logits)).index_add(0, image, loss)
