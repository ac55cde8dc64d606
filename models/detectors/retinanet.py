"""RetinaNet over torchvision's module."""

import torch
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet, retinanet_resnet50_fpn_v2
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou, clip_boxes_to_image, generalized_box_iou_loss

from models.detectors.detections import Detections
from models.detectors.detector import (
    Dense,
    Detector,
    ScoredImage,
    class_logits_and_maps,
    no_detections,
)
from models.detectors.focal import focal_loss_of_all, loss_of_sampled
from models.detectors.postprocess import anchors_of_one, highest_of_each, rows_of, suppress
from models.detectors.scores import log_odds_floor
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

    def _heads(self, batch: ImageList) -> tuple[dict[str, Tensor], list[Tensor]]:
        features = list(self.network.backbone(batch.tensors).values())
        outputs = {name: out.float() for name, out in self.network.head(features).items()}
        return outputs, self.network.anchor_generator(batch, features)

    def losses(self, batch: ImageList, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        outputs, anchors = self._heads(batch)
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

    def dense(self, pixels: Tensor) -> dict[str, Tensor]:
        return class_logits_and_maps(self.network, pixels)

    def score(
        self, batch: ImageList, min_score: float = 0.0, dense: Dense | None = None
    ) -> list[ScoredImage]:
        outputs = dict((dense or self.dense)(batch.tensors))
        logits = outputs.pop("cls_logits").float()[..., 1:]
        features = list(outputs.values())
        best = logits.amax(-1)
        log_odds = best.amax(-1).tolist()
        threshold = max(min_score, self.spec.score_threshold)
        floor = log_odds_floor(threshold)
        scored = [ScoredImage(value, no_detections()) for value in log_odds]
        rows = [i for i, value in enumerate(log_odds) if value > floor]
        if not rows:
            return scored
        regression = self.network.head.regression_head(rows_of(features, rows)).float()
        anchors = anchors_of_one(self.network.anchor_generator, batch, features)
        levels, limit = anchor_levels(features, len(anchors)), self.network.topk_candidates
        for row, offsets in zip(rows, regression, strict=True):
            near = (best[row] > floor).nonzero().flatten()
            boxes = self.network.box_coder.decode_single(offsets[near], anchors[near])
            boxes = clip_boxes_to_image(boxes, batch.image_sizes[row])
            scores = logits[row, near].sigmoid()
            found = detect_in_levels(self.spec, threshold, limit, scores, boxes, levels[near])
            scored[row] = ScoredImage(log_odds[row], found)
        return scored


def matched_labels(matched: Tensor, targets: list[dict[str, Tensor]]) -> Tensor:
    """int64 [B, A]: the class of the object that each anchor is matched to, 0 where below 0."""
    labels = torch.zeros_like(matched)
    for row, match, target in zip(labels, matched, targets, strict=True):
        on = match >= 0
        row[on] = target["labels"][match[on]]
    return labels


def anchor_levels(features: list[Tensor], num_anchors: int) -> Tensor:
    """int64 [A]: the feature level of each anchor; all cells have the same number of them."""
    cells = [level.shape[-2] * level.shape[-1] for level in features]
    levels = torch.arange(len(cells), device=features[0].device)
    counts = torch.tensor(cells, device=levels.device) * (num_anchors // sum(cells))
    return levels.repeat_interleave(counts)


def detect_in_levels(
    spec: DetectorSpec,
    threshold: float,
    limit: int,
    scores: Tensor,
    boxes: Tensor,
    levels: Tensor,
) -> Detections:
    """
    Of the anchors that can pass `threshold`: scores [N, K], boxes [N, 4], levels [N].

    At most `limit` scores of each level enter the non-maximum suppression.
    """
    anchor, column = (scores > threshold).nonzero(as_tuple=True)
    scores = scores[anchor, column]
    chosen = highest_of_each(scores, levels[anchor], limit)
    return suppress(boxes[anchor[chosen]], scores[chosen], column[chosen] + 1, spec)


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
