"""The SSD loss on fixed default boxes, and the matching of default boxes to objects."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_convert, box_iou

from models.losses.hard_mining import HardMiningCrossEntropyLoss, summed_cross_entropy
from models.sampling.arguments import require_between

CENTER_SCALE, SIZE_SCALE = 0.1, 0.2  # the variances of Liu et al.'s code


class MatchedBoxes(NamedTuple):
    """What each of A default boxes is to learn."""

    boxes: Tensor  # float [A, 4] cxcywh; the default box itself where it is background
    labels: Tensor  # int64 [A]; 0 background


class SSDLoss(nn.Module):
    """
    `(2 - alpha) * smooth L1 + alpha * cross entropy`, per positive, averaged over the images.

    Smooth L1 is over the offsets of positives (centres over 0.1 box sizes, log sizes over 0.2),
    cross entropy over positives and the hardest negatives. An image without positives is divided
    by the positives that its negatives would go with, `negatives / neg_pos_ratio`, so that it
    weighs what the others weigh.

    Args:
        default_boxes: float [A, 4], cxcywh in any unit.
        alpha: share of the classification, in [0, 2].
        iou_thresh: default boxes above it are positive, in [0, 1].
        neg_pos_ratio, min_negatives: as in `HardMiningCrossEntropyLoss`.

    Source:
        super-gradients `training/losses/ssd_loss.py`; its value wherever each image has objects
        of which no two share their best default box, and negatives enough. Not taken over: images
        without objects are worth zero there and yet counted in the mean; positives counted twice;
        an object lost (see `match_default_boxes`).
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
        _require_boxes("default_boxes", default_boxes)
        require_between("alpha", alpha, 0, 2)
        require_between("iou_thresh", iou_thresh, 0, 1)
        self.register_buffer("default_boxes", default_boxes.detach().clone())
        self.alpha = alpha
        self.iou_thresh = iou_thresh
        self.classification = HardMiningCrossEntropyLoss(neg_pos_ratio, min_negatives)

    def forward(self, predictions: tuple[Tensor, Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
        """
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

        as_positives = negative.sum(dim=1) / self.classification.neg_pos_ratio
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
        """Float [B], smooth L1 summed over the positives of each image."""
        image, anchor = is_positive.nonzero(as_tuple=True)
        wanted = encode_boxes(boxes[image, anchor], self.default_boxes[anchor])
        loss = functional.smooth_l1_loss(
            offsets[image, :, anchor].float(), wanted.float(), reduction="none"
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


def match_default_boxes(
    default_boxes: Tensor, boxes: Tensor, labels: Tensor, iou_thresh: float = 0.5
) -> MatchedBoxes:
    """
    Give every object its best default box, and each other default box the object it fits best.

    Objects choose in the order of their highest IoU, each a default box that is still free (the
    bipartite step of SSD), so none is lost while there are default boxes left. The rest of the
    default boxes take the object of highest IoU if that is above `iou_thresh`.

    Args:
        default_boxes: float [A, 4], cxcywh.
        boxes: float [M, 4], cxcywh in the same unit.
        labels: int64 [M], 1 and up.
        iou_thresh: in [0, 1].

    Source:
        Liu et al. 2016, arXiv:1512.02325, section 2.2; super-gradients `SSDLoss.match_dboxes`,
        which loses one of two objects that share their best default box.
    """
    _require_boxes("boxes", boxes)
    if labels.shape != boxes.shape[:1] or (labels < 1).any():
        raise ValueError(f"labels must be [{len(boxes)}] from 1 up, got {labels}")
    if not len(boxes):
        background = labels.new_zeros(len(default_boxes))
        return MatchedBoxes(default_boxes.clone(), background)
    iou = box_iou(_xyxy(boxes), _xyxy(default_boxes))
    best_iou, best_object = iou.max(dim=0)
    objects, anchors = _one_anchor_each(iou)
    best_iou[anchors] = torch.inf
    best_object[anchors] = objects
    is_object = best_iou > iou_thresh
    return MatchedBoxes(
        torch.where(is_object[:, None], boxes[best_object], default_boxes),
        torch.where(is_object, labels[best_object], 0),
    )


def encode_boxes(boxes: Tensor, default_boxes: Tensor) -> Tensor:
    """Offsets [N, 4] that turn default boxes into boxes, both cxcywh [N, 4]."""
    centers = (boxes[:, :2] - default_boxes[:, :2]) / default_boxes[:, 2:] / CENTER_SCALE
    sizes = (boxes[:, 2:] / default_boxes[:, 2:]).log() / SIZE_SCALE
    return torch.cat([centers, sizes], dim=1)


def _one_anchor_each(iou: Tensor) -> tuple[Tensor, Tensor]:
    """
    Indices of objects and of the default boxes [min(M, A)] that they get, of IoU [M, A].

    Always the highest IoU of what is left; an object looks again only when it lost its choice.
    """
    left = iou.clone()
    best, choice = left.max(dim=1)
    objects: list[int] = []
    anchors: list[int] = []
    while len(objects) < min(iou.shape):
        index = int(best.argmax())
        anchor = int(choice[index])
        if left[index, anchor] < 0:  # taken by another object since this one looked
            best[index], choice[index] = left[index].max(dim=0)
            continue
        objects.append(index)
        anchors.append(anchor)
        left[:, anchor] = -1
        best[index] = -2
    return iou.new_tensor(objects, dtype=torch.int64), iou.new_tensor(anchors, dtype=torch.int64)


def _xyxy(boxes: Tensor) -> Tensor:
    converted: Tensor = box_convert(boxes, "cxcywh", "xyxy")
    return converted


def _require_boxes(name: str, boxes: Tensor) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name} must be [N, 4], got {list(boxes.shape)}")
    if not torch.isfinite(boxes).all() or (boxes[:, 2:] <= 0).any():
        raise ValueError(f"{name} must be finite and have a width and a height above 0")
