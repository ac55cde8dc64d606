"""The SSD loss on fixed default boxes, and its part for boxes that SSD detectors train with."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder

from models.losses.hard_mining import HardMiningCrossEntropyLoss, summed_cross_entropy
from models.losses.matching import MatchedBoxes, match_default_boxes, require_boxes, xyxy
from models.sampling.arguments import require_between

BOX_CODER = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))  # the variances .1 and .2 of Liu et al.'s code


class SSDLoss(nn.Module):
    """
    `(2 - alpha) * smooth L1 + alpha * cross entropy`, per positive, averaged over the images.

    A thin face, with super-gradients' call, on what our SSD detectors train with: `best_objects`,
    `RatioSampler` and `smooth_l1_of_offsets`. They average positives and negatives apart (see
    `SSDDetector`); this class divides as its source does.

    Smooth L1 is over the offsets of positives (centres over 0.1 box sides, log sides over 0.2),
    cross entropy over positives and the hardest negatives. An image without positives is divided
    by the number of positives that its negatives would go with, `negatives / neg_pos_ratio`, and
    so weighs what the others weigh.

    Args:
        default_boxes: float [A, 4], cxcywh in any unit.
        alpha: share of the classification, in [0, 2].
        iou_thresh: default boxes above it are positive, in [0, 1].
        neg_pos_ratio, min_negatives: as in `HardMiningCrossEntropyLoss`.

    Source:
        super-gradients `training/losses/ssd_loss.py`. The value is the same wherever each image
        has objects of which no two share their best default box, and enough negatives. Different
        on purpose: there, images without objects are worth zero and yet count in the mean,
        positives count twice where negatives run out, and an object can be lost (`best_objects`).
    """

    component_names = ("smooth_l1", "closs", "Loss")

    default_boxes: Tensor

    def __init__(
        self,
        default_boxes: Tensor,
        alpha: float = 1.0,
        iou_thresh: float = 0.5,
        neg_pos_ratio: float = 3.0,
        min_negatives: int | None = None,
    ) -> None:
        super().__init__()
        require_boxes("default_boxes", default_boxes)
        require_between("alpha", alpha, 0, 2)
        require_between("iou_thresh", iou_thresh, 0, 1)
        self.register_buffer("default_boxes", default_boxes.detach().clone())
        self.alpha = alpha
        self.iou_thresh = iou_thresh
        self.classification = HardMiningCrossEntropyLoss(neg_pos_ratio, min_negatives)

    def forward(self, predictions: tuple[Tensor, Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
        """
        Return the loss and its parts.

        Args:
            predictions: offsets float [B, 4, A] and logits float [B, 1 + C, A], background first.
            targets: float [M, 6] of the whole batch: index of the image, class from 0, cx, cy,
                w, h in the unit of the default boxes.

        Returns:
            The loss, and, without gradient, the three `component_names`: smooth L1 and cross
            entropy as means over the images of their sums, and the loss.
        """
        offsets, logits = predictions
        self._check(offsets, logits, targets)
        matched = [self._match(targets[targets[:, 0] == i]) for i in range(len(logits))]
        labels = torch.stack([m.labels for m in matched])
        is_positive = labels > 0
        num_positive = is_positive.sum(dim=1)

        negative = self.classification.choose(logits, labels)
        classification = summed_cross_entropy(logits, labels, is_positive | negative)
        regression = self._regression(offsets, torch.stack([m.boxes for m in matched]), is_positive)

        as_positives = negative.sum(dim=1) / self.classification.sampler.neg_pos_ratio
        weight = torch.where(num_positive > 0, num_positive.float(), as_positives)
        total = (2 - self.alpha) * regression + self.alpha * classification
        teaches = weight > 0
        loss = (total[teaches] / weight[teaches]).sum() / teaches.sum().clamp(min=1)
        parts = torch.stack([regression.mean(), classification.mean(), loss])
        return loss, parts.detach()

    def _match(self, targets: Tensor) -> MatchedBoxes:
        return match_default_boxes(
            self.default_boxes, targets[:, 2:], targets[:, 1].long() + 1, self.iou_thresh
        )

    def _regression(self, offsets: Tensor, boxes: Tensor, is_positive: Tensor) -> Tensor:
        """Return float [B], smooth L1 summed over the positives of each image."""
        image, anchor = is_positive.nonzero(as_tuple=True)
        loss = smooth_l1_of_offsets(
            offsets[image, :, anchor].float(),
            xyxy(boxes[image, anchor]).float(),
            xyxy(self.default_boxes[anchor]).float(),
        )
        return loss.new_zeros(len(offsets)).index_add(0, image, loss.sum(dim=1))

    def _check(self, offsets: Tensor, logits: Tensor, targets: Tensor) -> None:
        num_images, num_anchors = len(logits), len(self.default_boxes)
        if (
            logits.ndim != 3
            or logits.shape[2] != num_anchors
            or offsets.shape != (num_images, 4, num_anchors)
        ):
            raise ValueError(
                f"need offsets [B, 4, {num_anchors}] and logits [B, 1 + C, {num_anchors}], got "
                f"{list(offsets.shape)} and {list(logits.shape)}"
            )
        if targets.ndim != 2 or targets.shape[1] != 6:
            raise ValueError(f"targets must be [M, 6], got {list(targets.shape)}")
        for column, limit in ((0, num_images), (1, logits.shape[1] - 1)):
            values = targets[:, column]
            if ((values < 0) | (values >= limit)).any():
                raise ValueError(f"targets[:, {column}] must be 0 to {limit - 1}, got {values}")


def smooth_l1_of_offsets(offsets: Tensor, boxes: Tensor, default_boxes: Tensor) -> Tensor:
    """
    Return smooth L1 [N, 4] between predicted offsets and those that give the boxes.

    Offsets are those of SSD: centres in tenths of a box side, logarithms of sides in fifths.

    Args:
        offsets: float [N, 4].
        boxes: float [N, 4], xyxy.
        default_boxes: float [N, 4], xyxy.
    """
    wanted = BOX_CODER.encode_single(boxes, default_boxes)
    return functional.smooth_l1_loss(offsets, wanted, reduction="none")
