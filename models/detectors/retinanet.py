"""RetinaNet over torchvision's module."""

import torch
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet, retinanet_resnet50_fpn_v2
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou, generalized_box_iou_loss

from models.detections import Detections
from models.detectors.detector import Detector, ScoredImage, no_detections
from models.detectors.focal import focal_loss_of_all, loss_of_sampled
from models.detectors.scores import can_exceed
from models.detectors.spec import DetectorSpec


class RetinaNetDetector(Detector):
    """
    RetinaNet (Lin et al. 2017, arXiv:1708.02002).

    Without a sampler the loss is focal over all anchors, which an image without objects enters
    too; with one it is binary cross entropy of the chosen anchors. torchvision's head has a
    column for background that no anchor is ever labelled with: it is trained towards 0 as there,
    and never scored.
    """

    keeps_aspect = True
    size_divisor = 32
    class_layers = r"head\.classification_head\.cls_logits\.(weight|bias)"
    network: RetinaNet

    def _heads(self, batch: ImageList) -> tuple[dict[str, Tensor], list[Tensor], list[int]]:
        features = list(self.network.backbone(batch.tensors).values())
        outputs = {name: out.float() for name, out in self.network.head(features).items()}
        anchors = self.network.anchor_generator(batch, features)
        cells = [level.shape[-2] * level.shape[-1] for level in features]
        per_cell = outputs["cls_logits"].shape[1] // sum(cells)
        return outputs, anchors, [count * per_cell for count in cells]

    def losses(self, batch: ImageList, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        outputs, anchors, _ = self._heads(batch)
        matched = torch.stack(
            [self._match(a, t["boxes"]) for a, t in zip(anchors, targets, strict=True)]
        )
        labels = matched_labels(matched, targets)
        labels[matched == self.network.proposal_matcher.BETWEEN_THRESHOLDS] = -1
        return {
            "classification": self._classification_loss(outputs["cls_logits"], labels),
            "bbox_regression": self._regression_loss(
                outputs["bbox_regression"], anchors, matched, targets
            ),
        }

    def _match(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """int64 [A], the object of each anchor; -1 background, -2 between the thresholds."""
        if not len(boxes):
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        matched: Tensor = self.network.proposal_matcher(box_iou(boxes, anchors))
        return matched

    def _classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.sampler is None:
            return focal_loss_of_all(logits, labels, self.negative_weight)
        foreground_prob = logits.detach()[..., 1:].amax(-1).sigmoid()
        positive, negative = self.sample(self.sampler, list(labels), foreground_prob.flatten())
        return loss_of_sampled(logits, labels, positive, negative, self.negative_weight)

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

    def score(self, batch: ImageList) -> list[ScoredImage]:
        outputs, anchors, level_sizes = self._heads(batch)
        outputs["cls_logits"][..., 0] = -torch.inf
        log_odds = outputs["cls_logits"].flatten(1).amax(-1).tolist()
        return score_levels(self, batch, outputs, anchors, level_sizes, log_odds)


def matched_labels(matched: Tensor, targets: list[dict[str, Tensor]]) -> Tensor:
    """int64 [B, A]: the class of the object that each anchor is matched to, 0 where below 0."""
    labels = torch.zeros_like(matched)
    for row, match, target in zip(labels, matched, targets, strict=True):
        on = match >= 0
        row[on] = target["labels"][match[on]]
    return labels


def score_levels(
    detector: Detector,
    batch: ImageList,
    outputs: dict[str, Tensor],
    anchors: list[Tensor],
    level_sizes: list[int],
    log_odds: list[float],
) -> list[ScoredImage]:
    """Post-process, level by level, the images whose best anchor can pass the threshold."""
    scored = [ScoredImage(value, no_detections()) for value in log_odds]
    rows = [i for i, v in enumerate(log_odds) if can_exceed(v, detector.spec.score_threshold)]
    found = detector.network.postprocess_detections(  # type: ignore[operator]  # torchvision's
        {name: list(torch.split(out[rows], level_sizes, dim=1)) for name, out in outputs.items()},
        [list(torch.split(anchors[row], level_sizes)) for row in rows],
        [batch.image_sizes[row] for row in rows],
    )
    for row, result in zip(rows, found, strict=True):
        scored[row] = ScoredImage(log_odds[row], Detections(**result))
    return scored


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
    trunk: nn.Module = network.backbone.body
    return RetinaNetDetector(spec, network, trunk)
