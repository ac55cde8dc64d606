"""Faster R-CNN over torchvision's module."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import (
    FasterRCNN,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers

from models.detectors.detections import Detections
from models.detectors.detector import Dense, Detector, ScoredImage, no_detections
from models.detectors.scores import log_odds_floor, softmax_log_odds
from models.detectors.spec import DetectorSpec
from models.losses.ignored import ignore_anchors

_SMOOTH_L1_BETA = 1 / 9  # torchvision's, for both stages


class FasterRCNNDetector(Detector):
    """
    Faster R-CNN (Ren et al. 2015, arXiv:1506.01497).

    torchvision's samplers see labels only. Here, a `sampler` also sees scores in both stages: the
    objectness of anchors, and the class probabilities of proposals. For these, all proposals pass
    through the box head once more, without gradients. Without a sampler, torchvision's random
    balance is used; it fills an image without objects with background.

    If the proposal network has a score threshold, it applies to detections only, not to the
    highest score and not in training: no image is left without proposals.
    """

    keeps_aspect = True
    size_divisor = 32
    class_layers = r"roi_heads\.box_predictor\..*"
    network: FasterRCNN

    def __init__(self, spec: DetectorSpec, network: FasterRCNN, backbone: nn.Module) -> None:
        super().__init__(spec, network, backbone)
        self.proposal_threshold: float = network.rpn.score_thresh
        network.rpn.score_thresh = 0.0

    def dense(self, pixels: Tensor) -> dict[str, Tensor]:
        features: dict[str, Tensor] = self.network.backbone(pixels)
        return features

    def _propose(
        self, batch: ImageList, features: dict[str, Tensor]
    ) -> tuple[list[Tensor], list[Tensor], tuple[Tensor, Tensor, list[Tensor]]]:
        """Return proposals [N_i, 4], their objectness, and the inputs of the first stage's loss."""
        rpn = self.network.rpn
        levels = list(features.values())
        objectness, offsets = rpn.head(levels)
        anchors = rpn.anchor_generator(batch, levels)
        level_sizes = [math.prod(level.shape[1:]) for level in objectness]
        objectness, offsets = concat_box_prediction_layers(objectness, offsets)
        objectness, offsets = objectness.float(), offsets.float()
        boxes = rpn.box_coder.decode(offsets.detach(), anchors).view(len(anchors), -1, 4)
        proposals, scores = rpn.filter_proposals(boxes, objectness, batch.image_sizes, level_sizes)
        return proposals, scores, (objectness.flatten(), offsets, anchors)

    def _classify(
        self, features: dict[str, Tensor], proposals: list[Tensor], batch: ImageList
    ) -> tuple[Tensor, Tensor]:
        roi = self.network.roi_heads
        pooled = roi.box_roi_pool(features, proposals, batch.image_sizes)
        logits, offsets = roi.box_predictor(roi.box_head(pooled))
        return logits.float(), offsets.float()

    def losses(self, batch: ImageList, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        features = self.dense(batch.tensors)
        proposals, _, first_stage = self._propose(batch, features)
        return {
            **self._proposal_losses(*first_stage, targets),
            **self._box_losses(features, proposals, batch, targets),
        }

    def _choose(
        self,
        labels: list[Tensor],
        foreground_prob: Callable[[], Tensor],
        default: Callable[[list[Tensor]], tuple[list[Tensor], list[Tensor]]],
    ) -> tuple[list[Tensor], list[Tensor]]:
        if self.sampler is not None:
            return self.sample(self.sampler, labels, foreground_prob())
        positive, negative = default(labels)
        return [mask.bool() for mask in positive], [mask.bool() for mask in negative]

    def _proposal_losses(
        self,
        objectness: Tensor,
        offsets: Tensor,
        anchors: list[Tensor],
        targets: list[dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        rpn = self.network.rpn
        float_labels, matched_boxes = rpn.assign_targets_to_anchors(anchors, targets)
        labels = _without_ignored(float_labels, anchors, targets)
        positive, negative = self._choose(
            labels, lambda: objectness.detach().sigmoid(), rpn.fg_bg_sampler
        )
        on, off = torch.cat(positive), torch.cat(negative)
        chosen = on | off
        count = max(1, int(chosen.sum()))
        wanted = torch.cat(rpn.box_coder.encode(matched_boxes, anchors))
        loss = functional.binary_cross_entropy_with_logits(
            objectness, on.to(objectness.dtype), reduction="none"
        )
        return {
            "loss_objectness": (loss * (on + self.negative_weight * off)).sum() / count,
            "loss_rpn_box_reg": functional.smooth_l1_loss(
                offsets[on], wanted[on], beta=_SMOOTH_L1_BETA, reduction="sum"
            )
            / count,
        }

    def _box_losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        batch: ImageList,
        targets: list[dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        roi = self.network.roi_heads
        boxes, classes = [t["boxes"] for t in targets], [t["labels"] for t in targets]
        proposals = roi.add_gt_proposals(proposals, boxes)
        matched, matched_labels = roi.assign_targets_to_proposals(proposals, boxes, classes)
        labels = _without_ignored(matched_labels, proposals, targets)
        positive, negative = self._choose(
            labels,
            lambda: self._proposal_foreground_prob(features, proposals, batch),
            roi.fg_bg_sampler,
        )
        chosen = [on | off for on, off in zip(positive, negative, strict=True)]
        proposals = [p[c] for p, c in zip(proposals, chosen, strict=True)]
        label = torch.cat(labels)[torch.cat(chosen)]
        if not len(label):
            zero = torch.stack([level.sum() for level in features.values()]).sum() * 0
            return {"loss_classifier": zero, "loss_box_reg": zero}

        logits, offsets = self._classify(features, proposals, batch)
        loss = functional.cross_entropy(logits, label, reduction="none")
        weight = torch.where(label == 0, self.negative_weight, 1.0)
        on = (label > 0).nonzero().flatten()
        objects = [
            b[m[c]] if len(b) else p
            for b, m, c, p in zip(boxes, matched, chosen, proposals, strict=True)
        ]
        wanted = torch.cat(roi.box_coder.encode(objects, proposals))
        per_class = offsets.view(len(label), -1, 4)
        return {
            "loss_classifier": (loss * weight).sum() / len(label),
            "loss_box_reg": functional.smooth_l1_loss(
                per_class[on, label[on]], wanted[on], beta=_SMOOTH_L1_BETA, reduction="sum"
            )
            / len(label),
        }

    @torch.no_grad()
    def _proposal_foreground_prob(
        self, features: dict[str, Tensor], proposals: list[Tensor], batch: ImageList
    ) -> Tensor:
        """Return float [sum N_i]; the box head is in eval mode, so its BatchNorm learns nothing."""
        head = self.network.roi_heads.box_head
        was_training = head.training
        head.eval()
        logits, _ = self._classify(features, proposals, batch)
        head.train(was_training)
        return logits.softmax(-1)[:, 1:].amax(-1)

    def score(
        self, batch: ImageList, min_score: float = 0.0, dense: Dense | None = None
    ) -> list[ScoredImage]:
        found = (dense or self.dense)(batch.tensors)
        features = {name: level.float() for name, level in found.items()}
        proposals, objectness, _ = self._propose(batch, features)
        logits, offsets = self._classify(features, proposals, batch)
        counts = [len(boxes) for boxes in proposals]
        log_odds = torch.split(softmax_log_odds(logits), counts)
        rows = zip(
            proposals,
            objectness,
            torch.split(logits, counts),
            torch.split(offsets, counts),
            log_odds,
            batch.image_sizes,
            _is_finite(features),
            strict=True,
        )
        return [self._score_image(min_score, *row) for row in rows]

    def _score_image(
        self,
        min_score: float,
        proposals: Tensor,
        objectness: Tensor,
        logits: Tensor,
        offsets: Tensor,
        log_odds: Tensor,
        image_size: tuple[int, int],
        is_finite: bool,
    ) -> ScoredImage:
        if not is_finite:  # NaN proposals are dropped, which would hide it
            return ScoredImage(math.nan, no_detections())
        best = log_odds.max().item() if len(log_odds) else None
        keep = objectness >= self.proposal_threshold
        floor = log_odds_floor(max(min_score, self.spec.score_threshold))
        if best is None or not best > floor or not keep.any():  # NaN is not above it, either
            return ScoredImage(best, no_detections())
        boxes, scores, labels = self.network.roi_heads.postprocess_detections(
            logits[keep], offsets[keep], [proposals[keep]], [image_size]
        )
        kept = scores[0] > min_score  # lower boxes suppress no higher ones
        return ScoredImage(best, Detections(boxes[0][kept], scores[0][kept], labels[0][kept]))


def _without_ignored(
    labels: list[Tensor], anchors: list[Tensor], targets: list[dict[str, Tensor]]
) -> list[Tensor]:
    return [
        ignore_anchors(image_labels.long(), boxes, target["ignored"], target["background"])
        for image_labels, boxes, target in zip(labels, anchors, targets, strict=True)
    ]


def _is_finite(features: dict[str, Tensor]) -> list[bool]:
    """Return for each image of the batch whether all its features are finite."""
    levels = [level.isfinite().flatten(1).all(dim=1) for level in features.values()]
    finite: list[bool] = torch.stack(levels).all(dim=0).tolist()
    return finite


def mobilenet_v3_large_320_fpn(spec: DetectorSpec) -> Detector:
    return _over(fasterrcnn_mobilenet_v3_large_320_fpn, spec)


def resnet50_fpn_v2(spec: DetectorSpec) -> Detector:
    return _over(fasterrcnn_resnet50_fpn_v2, spec)


def _over(construct: Callable[..., FasterRCNN], spec: DetectorSpec) -> Detector:
    network = construct(
        weights=None,
        weights_backbone=None,
        num_classes=len(spec.class_names) + 1,
        min_size=spec.input_size[0],
        max_size=spec.input_size[1],
        image_mean=list(spec.image_mean),
        image_std=list(spec.image_std),
        box_score_thresh=spec.score_threshold,
        box_nms_thresh=spec.nms_threshold,
        box_detections_per_img=spec.detections_per_image,
    )
    return FasterRCNNDetector(spec, network, network.backbone.body)
