"""RetinaNet over torchvision's module."""

import torch
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet, retinanet_resnet50_fpn_v2
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou, generalized_box_iou_loss

from models.detectors.detector import Detector
from models.detectors.one_stage import Heads, OneStageDetector
from models.detectors.spec import DetectorSpec
from models.losses.focal import focal_loss_of_anchors
from models.losses.ignored import ignore_anchors
from models.losses.sampled import sampled_binary_cross_entropy


class RetinaNetDetector(OneStageDetector):
    """
    RetinaNet (Lin et al. 2017, arXiv:1708.02002).

    Without a sampler, the loss is focal over all anchors, those of images without objects, too;
    with one, it is binary cross entropy over the chosen anchors. torchvision's head has a column
    for background, with which no anchor is ever labelled: as there, it is trained towards 0 and
    never scored.
    """

    keeps_aspect = True
    size_divisor = 32
    class_layers = r"head\.classification_head\.cls_logits\.(weight|bias)"
    network: RetinaNet

    def _heads(self, batch: ImageList) -> tuple[dict[str, Tensor], list[Tensor]]:
        features = list(self.network.backbone(batch.tensors).values())
        outputs = {name: out.float() for name, out in self.network.head(features).items()}
        return outputs, self.network.anchor_generator(batch, features)

    def losses(self, batch: ImageList, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        outputs, anchors = self._heads(batch)
        matched = torch.stack(
            [self._match(a, t["boxes"]) for a, t in zip(anchors, targets, strict=True)]
        )
        labels = matched_labels(matched, anchors, targets)
        labels[matched == self.network.proposal_matcher.BETWEEN_THRESHOLDS] = -1
        return {
            "classification": self._classification_loss(outputs["cls_logits"], labels),
            "bbox_regression": self._regression_loss(
                outputs["bbox_regression"], anchors, matched, targets
            ),
        }

    def _match(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """Return int64 [A], the object of each anchor; -1 background, -2 between thresholds."""
        if not len(boxes):
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        matched: Tensor = self.network.proposal_matcher(box_iou(boxes, anchors))
        return matched

    def _classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.sampler is None:
            return focal_loss_of_anchors(logits, labels, self.negative_weight)
        foreground_prob = logits.detach()[..., 1:].amax(-1).sigmoid()
        positive, negative = self.sample(self.sampler, list(labels), foreground_prob.flatten())
        return sampled_binary_cross_entropy(
            logits, labels, torch.stack(positive), torch.stack(negative), self.negative_weight
        )

    def _regression_loss(
        self,
        regression: Tensor,
        anchors: list[Tensor],
        matched: Tensor,
        targets: list[dict[str, Tensor]],
    ) -> Tensor:
        total = regression.new_zeros(())
        for offsets, image_anchors, match, target in zip(
            regression, anchors, matched, targets, strict=True
        ):
            on = (match >= 0).nonzero().flatten()
            boxes = self.network.box_coder.decode_single(offsets[on], image_anchors[on])
            total = total + generalized_box_iou_loss(
                boxes, target["boxes"][match[on]], reduction="sum"
            )
        return total / max(1, int((matched >= 0).sum()))

    def rank(self, heads: Heads) -> tuple[list[float], Tensor]:
        best = heads["cls_logits"][..., 1:].amax(-1)
        return best.amax(-1).tolist(), best

    def probabilities(self, heads: Heads) -> Tensor:
        return heads["cls_logits"][..., 1:].sigmoid()


def matched_labels(
    matched: Tensor, anchors: list[Tensor], targets: list[dict[str, Tensor]]
) -> Tensor:
    """Return int64 [B, A]: the class of each anchor's object; 0 for none, -1 for ignored."""
    labels = torch.zeros_like(matched)
    for row, match, boxes, target in zip(labels, matched, anchors, targets, strict=True):
        on = match >= 0
        row[on] = target["labels"][match[on]]
        row[:] = ignore_anchors(row, boxes, target["ignored"], target["background"])
    return labels


def resnet50_fpn_v2(spec: DetectorSpec) -> Detector:
    network = retinanet_resnet50_fpn_v2(
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
    return RetinaNetDetector(spec, network, backbone)
