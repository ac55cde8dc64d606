"""FCOS over torchvision's module."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FCOS, fcos_resnet50_fpn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import generalized_box_iou_loss

from models.detectors.detector import Detector
from models.detectors.one_stage import Heads, OneStageDetector
from models.detectors.retinanet import matched_labels
from models.detectors.scores import sigmoid_product_log_odds
from models.detectors.spec import DetectorSpec
from models.losses.focal import focal_loss_of_anchors
from models.losses.sampled import sampled_binary_cross_entropy


class FCOSDetector(OneStageDetector):
    """
    FCOS (Tian et al. 2019, arXiv:1904.01355): one anchor, or rather a point, per cell.

    Its score is sqrt(class probability * centerness). The loss is focal over all points without a
    sampler, and binary cross entropy over the chosen ones with it. Centerness and boxes learn
    from positives only, and column 0 of the head is never scored, as in `RetinaNetDetector`.
    """

    head_names = ("cls_logits", "bbox_regression", "bbox_ctrness")
    keeps_aspect = True
    size_divisor = 32
    class_layers = r"head\.classification_head\.cls_logits\.(weight|bias)"
    network: FCOS

    def losses(self, batch: ImageList, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        features = list(self.network.backbone(batch.tensors).values())
        outputs = {name: out.float() for name, out in self.network.head(features).items()}
        anchors = self.network.anchor_generator(batch, features)
        level_sizes = [level.shape[-2] * level.shape[-1] for level in features]
        radius = self.network.center_sampling_radius
        matched = torch.stack(
            [
                match_points(a, t["boxes"], level_sizes, radius)
                for a, t in zip(anchors, targets, strict=True)
            ]
        )
        labels = matched_labels(matched, anchors, targets)
        on = matched >= 0
        boxes = _matched_boxes(matched, targets)
        points = torch.stack(anchors)[on]
        num_positive = max(1, len(boxes))
        predicted = self.network.box_coder.decode(outputs["bbox_regression"][on], points)
        return {
            "classification": self._classification_loss(outputs, labels),
            "bbox_regression": generalized_box_iou_loss(predicted, boxes, reduction="sum")
            / num_positive,
            "bbox_ctrness": functional.binary_cross_entropy_with_logits(
                outputs["bbox_ctrness"].squeeze(-1)[on], centerness(points, boxes), reduction="sum"
            )
            / num_positive,
        }

    def _classification_loss(self, outputs: dict[str, Tensor], labels: Tensor) -> Tensor:
        logits = outputs["cls_logits"]
        if self.sampler is None:
            return focal_loss_of_anchors(logits, labels, self.negative_weight)
        log_prob = functional.logsigmoid(logits.detach()[..., 1:].amax(-1, keepdim=True))
        log_prob = log_prob + functional.logsigmoid(outputs["bbox_ctrness"].detach())
        foreground_prob = (0.5 * log_prob).exp().flatten()
        positive, negative = self.sample(self.sampler, list(labels), foreground_prob)
        return sampled_binary_cross_entropy(
            logits, labels, torch.stack(positive), torch.stack(negative), self.negative_weight
        )

    def dense(self, pixels: Tensor) -> dict[str, Tensor]:
        features: dict[str, Tensor] = self.network.backbone(pixels)
        return {**self.network.head(list(features.values())), **features}

    def rank(self, heads: Heads) -> tuple[list[float], Tensor]:
        best = sigmoid_product_log_odds(
            heads["cls_logits"][..., 1:].amax(-1), heads["bbox_ctrness"].squeeze(-1)
        )
        return best.amax(-1).tolist(), best

    def probabilities(self, heads: Heads) -> Tensor:
        class_probability = heads["cls_logits"][..., 1:].sigmoid()
        return (class_probability * heads["bbox_ctrness"].sigmoid()).sqrt()

    def offsets(self, heads: Heads, maps: Sequence[Tensor], rows: list[int]) -> Tensor:
        return heads["bbox_regression"][rows]

    def decode(self, offsets: Tensor, anchors: Tensor) -> Tensor:
        boxes: Tensor = self.network.box_coder.decode(offsets, anchors)
        return boxes


def match_points(
    anchors: Tensor, boxes: Tensor, level_sizes: list[int], center_radius: float
) -> Tensor:
    """
    Return the object that each point is to predict: int64 [A], -1 for none.

    Boxes can claim a point that lies in them, within `center_radius` strides of their centre on
    both axes, if their farthest side is 4 to 8 strides away; the first level has no lower bound,
    the last no upper one. The smallest of them gets the point.

    Args:
        anchors: float [A, 4], squares of one stride around the points.
        boxes: float [M, 4].
        center_radius: in strides.
        level_sizes: number of points of each level, finest first.

    Source: FCOS section 3.2 and its centre sampling, with torchvision's bounds per level.
    """
    if not len(boxes):
        return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
    points = (anchors[:, None, :2] + anchors[:, None, 2:]) / 2
    stride = (anchors[:, 2] - anchors[:, 0]).unsqueeze(1)
    sides = torch.cat((points - boxes[:, :2], boxes[:, 2:] - points), dim=-1)
    inside = sides.amin(-1) > 0
    to_center = (points - (boxes[:, :2] + boxes[:, 2:]) / 2).abs().amax(-1)

    nearest, farthest = stride * 4, stride * 8
    nearest[: level_sizes[0]] = 0
    farthest[-level_sizes[-1] :] = torch.inf
    reach = sides.amax(-1)
    fits = inside & (to_center < center_radius * stride) & (reach > nearest) & (reach < farthest)

    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    smallest, index = areas.expand(len(anchors), -1).masked_fill(~fits, torch.inf).min(dim=1)
    return torch.where(smallest.isinf(), -1, index)


def centerness(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return how central points lie in their boxes: float [P] in [0, 1], for [P, 4] of both."""
    points = (anchors[:, :2] + anchors[:, 2:]) / 2
    before, after = points - boxes[:, :2], boxes[:, 2:] - points
    ratio = torch.minimum(before, after) / torch.maximum(before, after)
    return ratio.prod(dim=-1).clamp(min=0).sqrt()


def _matched_boxes(matched: Tensor, targets: list[dict[str, Tensor]]) -> Tensor:
    """Return float [P, 4], the boxes of all matched points, in the order of a mask over [B, A]."""
    return torch.cat(
        [target["boxes"][match[match >= 0]] for match, target in zip(matched, targets, strict=True)]
    )


def resnet50_fpn(spec: DetectorSpec) -> Detector:
    network = fcos_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=len(spec.class_names) + 1,
        min_size=spec.input_size[0],
        max_size=spec.input_size[1],
        image_mean=list(spec.image_mean),
        image_std=list(spec.image_std),
        score_thresh=spec.score_threshold,
        nms_thresh=spec.nms_threshold,
        detections_per_img=spec.detections_per_image,
    )
    backbone: nn.Module = network.backbone.body
    return FCOSDetector(spec, network, backbone)
