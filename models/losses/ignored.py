"""Background anchors that teach nothing, since something true may lie under them."""

import torch
from torch import Tensor
from torchvision.ops import box_iou

MIN_OVERLAP = 0.1  # IoU; Fast R-CNN takes no proposal below it for background, either


def ignore_anchors(labels: Tensor, anchors: Tensor, ignored: Tensor, background: Tensor) -> Tensor:
    """
    Return labels with -1 for the background anchors that an ignored box covers.

    A box covers an anchor whose centre lies in it, or whose IoU with it is at least `MIN_OVERLAP`.
    An anchor that overlaps a background box more than any ignored one stays background: a false
    detection beside a true object, or within it, can still be taught.

    Args:
        labels: int64 [A]; -1 ignored, 0 background, 1 and up a class.
        anchors: float [A, 4], xyxy.
        ignored: float [I, 4], xyxy; true objects, and detections that nobody has judged.
        background: float [N, 4], xyxy; detections that a person has judged to be false.

    Source:
        Girshick 2015, arXiv:1504.08083, section 2.3, for the bound.
    """
    if not len(ignored):
        return labels
    overlap = box_iou(anchors, ignored)
    is_covered = ((overlap >= MIN_OVERLAP) | _centres_lie_in(anchors, ignored)).any(dim=1)
    if len(background):
        is_covered &= box_iou(anchors, background).amax(dim=1) <= overlap.amax(dim=1)
    return torch.where(is_covered & (labels == 0), -1, labels)


def _centres_lie_in(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return bool [A, B]: whether an anchor's centre lies in a box."""
    centres = ((anchors[:, :2] + anchors[:, 2:]) / 2)[:, None]
    return ((centres >= boxes[:, :2]) & (centres <= boxes[:, 2:])).all(dim=-1)
