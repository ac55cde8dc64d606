"""Cross entropy over all positives and the hardest negatives, after SSD."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.sampling.arguments import (
    require_count,
    require_no_nan,
    require_positive,
)
from models.sampling.arrays import host_array, mask_of
from models.sampling.hardest import hardest
from models.sampling.ratio import negatives_by_ratio

PIECE_SIZE = 1 << 18  # logits handled at once: 1 MB


class HardMiningCrossEntropyLoss(nn.Module):
    """
    Cross entropy of all positives and of the hardest negatives, summed per image.

    The hardest are chosen without a graph; only what is chosen enters the cross entropy that is
    differentiated, a small part of all anchors.

    Args:
        neg_pos_ratio: negatives per positive, above 0; a part of a negative counts as one.
        min_negatives: lowest number of negatives per image. None: 64 for an image without
            positives, no floor for others.

    Source:
        super-gradients `training/losses/ssd_loss.py`. Not taken over: an image without positives
        has no negatives and no gradient there (`min_negatives=0` does the same); and where
        `neg_pos_ratio * positives` exceeds the number of negatives, positives are counted twice.
    """

    def __init__(self, neg_pos_ratio: float, min_negatives: int | None = None) -> None:
        super().__init__()
        require_positive("neg_pos_ratio", neg_pos_ratio)
        require_count("min_negatives", 0 if min_negatives is None else min_negatives, 0)
        self.neg_pos_ratio = neg_pos_ratio
        self.min_negatives = min_negatives

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """
        Args:
            logits: float [B, C, A], class 0 is background.
            labels: int64 [B, A]; 1 and up an object class, 0 background, below 0 ignored.

        Returns:
            float [B], the sum over the chosen anchors of each image.
        """
        chosen = self.choose(logits, labels) | (labels > 0)
        return summed_cross_entropy(logits, labels, chosen)

    @torch.no_grad()
    def choose(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Bool [B, A], the negatives that `forward` uses. Raises ValueError for NaN logits."""
        if logits.ndim != 3 or labels.shape != (len(logits), logits.shape[2]):
            raise ValueError(
                f"need logits [B, C, A] and labels [B, A], got {list(logits.shape)} and "
                f"{list(labels.shape)}"
            )
        hardness = host_array(background_loss(logits))
        require_no_nan("the cross entropy of the logits", hardness)
        is_negative = (labels == 0).cpu().numpy()
        nums = [
            negatives_by_ratio(num_positive, num_negative, self.neg_pos_ratio, self.min_negatives)
            for num_positive, num_negative in zip(
                (labels > 0).sum(dim=1).tolist(), is_negative.sum(axis=1).tolist(), strict=True
            )
        ]
        return mask_of(hardest(hardness, is_negative, nums), labels.shape, labels.device)


def background_loss(logits: Tensor) -> Tensor:
    """
    -log softmax(logits)[0] as float32 [B, A] of [B, C, A], without a graph.

    Computed as log sum exp(l_j - l_0), piece by piece to stay in the processor's cache; only
    anchors where that overflows are given the stable form, which needs one pass more.
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
    """Float [B], the cross entropy of [B, C, A] summed over the chosen [B, A] of each image."""
    image, anchor = chosen.nonzero(as_tuple=True)
    loss = functional.cross_entropy(
        logits[image, :, anchor].float(), labels[image, anchor], reduction="none"
    )
    return loss.new_zeros(len(logits)).index_add(0, image, loss)
