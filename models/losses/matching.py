"""Default boxes matched to objects: which object each of them is to predict."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_convert, box_iou


class MatchedBoxes(NamedTuple):
    """The targets of A default boxes."""

    boxes: Tensor  # float [A, 4] cxcywh; the default box itself where it is background
    labels: Tensor  # int64 [A]; 0 background


def match_default_boxes(
    default_boxes: Tensor, boxes: Tensor, labels: Tensor, iou_thresh: float = 0.5
) -> MatchedBoxes:
    """
    Match default boxes to objects by `best_objects`, and look up the targets.

    A default box that is no object's own is positive if its IoU is above `iou_thresh`.

    Args:
        default_boxes: float [A, 4], cxcywh.
        boxes: float [M, 4], cxcywh in the same unit.
        labels: int64 [M], 1 and up.
        iou_thresh: in [0, 1].
    """
    require_boxes("boxes", boxes)
    if labels.shape != boxes.shape[:1] or (labels < 1).any():
        raise ValueError(f"labels must be [{len(boxes)}] from 1 up, got {labels}")
    if not len(boxes):
        background = labels.new_zeros(len(default_boxes))
        return MatchedBoxes(default_boxes.clone(), background)
    best_iou, best_object = best_objects(box_iou(xyxy(boxes), xyxy(default_boxes)))
    is_object = best_iou > iou_thresh
    return MatchedBoxes(
        torch.where(is_object[:, None], boxes[best_object], default_boxes),
        torch.where(is_object, labels[best_object], 0),
    )


def best_objects(iou: Tensor) -> tuple[Tensor, Tensor]:
    """
    Give every object a default box of its own, and every other default box its best object.

    Objects choose in the order of their highest IoU, each a default box that is still free (the
    bipartite step of SSD), so none is lost while there are default boxes left.

    Args:
        iou: float [M, A] of M objects, at least one, with A default boxes.

    Returns:
        float [A], the IoU with that object, infinite for an object's own default box; int64 [A],
        the index of the object.

    Source:
        Liu et al. 2016, arXiv:1512.02325, section 2.2. torchvision's `SSDMatcher` and
        super-gradients' `SSDLoss.match_dboxes` lose one of two objects that share their best
        default box.
    """
    best_iou, best_object = iou.max(dim=0)
    objects, anchors = _own_default_boxes(iou)
    best_iou[anchors] = torch.inf
    best_object[anchors] = objects
    return best_iou, best_object


def _own_default_boxes(iou: Tensor) -> tuple[Tensor, Tensor]:
    """
    Return indices of objects and of their own default boxes, both [min(M, A)], for IoU [M, A].

    The highest IoU of all that is left comes first. An object searches again only if another one
    has taken its choice.
    """
    best, choice = iou.max(dim=1)
    if len(torch.unique(choice)) == len(
        choice
    ):  # nearly always, and then there is nothing to settle
        return torch.arange(len(choice), device=iou.device), choice
    left = iou.clone()
    objects: list[int] = []
    anchors: list[int] = []
    while len(objects) < min(iou.shape):
        index = int(best.argmax())
        anchor = int(choice[index])
        if left[index, anchor] < 0:  # taken by another object since this one searched
            best[index], choice[index] = left[index].max(dim=0)
            continue
        objects.append(index)
        anchors.append(anchor)
        left[:, anchor] = -1
        best[index] = -2
    return iou.new_tensor(objects, dtype=torch.int64), iou.new_tensor(anchors, dtype=torch.int64)


def require_boxes(name: str, boxes: Tensor) -> None:
    """Check cxcywh boxes [N, 4]. Raises ValueError for another shape, and for empty boxes."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name} must be [N, 4], got {list(boxes.shape)}")
    if not torch.isfinite(boxes).all() or (boxes[:, 2:] <= 0).any():
        raise ValueError(f"{name} must be finite and have a width and a height above 0")


def xyxy(boxes: Tensor) -> Tensor:
    """Convert from cxcywh."""
    converted: Tensor = box_convert(boxes, "cxcywh", "xyxy")
    return converted
