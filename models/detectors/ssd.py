"""SSD: torchvision's two, and two of ours on the same class."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD, ssd300_vgg16
from torchvision.models.detection.ssdlite import SSDLiteHead, ssdlite320_mobilenet_v3_large
from torchvision.ops import box_iou, clip_boxes_to_image

from models.detectors.backbones import FeaturePyramid, Lite0Trunk, SmallTrunk
from models.detectors.detections import Detections
from models.detectors.detector import (
    Dense,
    Detector,
    ScoredImage,
    class_logits_and_maps,
    no_detections,
)
from models.detectors.postprocess import anchors_of_one, highest_of_each, rows_of, suppress
from models.detectors.scores import highest_softmax_log_odds, log_odds_floor
from models.detectors.spec import DetectorSpec
from models.sampling import AnchorSampler, RatioSampler

NEGATIVES_PER_POSITIVE = 3.0  # the paper's
MIN_NEGATIVES = 20  # per image, also where there are no positives


class SSDDetector(Detector):
    """
    SSD (Liu et al. 2016, arXiv:1512.02325) over torchvision's `SSD` module.

    The loss is the paper's but for two things. Negatives are counted per image as 3 per positive
    *and at least* 20: torchvision's count alone gives an image without objects exactly zero loss.
    And positives and negatives are averaged apart,
    `mean(positives) + negative_weight * mean(negatives)`: with 3 negatives per positive and
    weight 3 this is the paper's sum over the number of positives, but images without objects
    cannot drown the positives of the others however many anchors they add. The hardest negatives
    are those with the highest probability of any one class; torchvision takes the highest of all
    classes together, which is the same for one class.
    """

    class_layers = r"head\.classification_head\.module_list\.\d+\.(1\.)?(weight|bias)"
    network: SSD

    def __init__(self, spec: DetectorSpec, network: SSD, trunk: nn.Module) -> None:
        super().__init__(spec, network, trunk)
        self.default_sampler: AnchorSampler = RatioSampler(
            NEGATIVES_PER_POSITIVE, min_negatives=MIN_NEGATIVES
        )
        self.negative_weight = 3.0

    def _heads(self, batch: ImageList) -> tuple[Tensor, Tensor, list[Tensor]]:
        features = list(self.network.backbone(batch.tensors).values())
        outputs = self.network.head(features)
        anchors = self.network.anchor_generator(batch, features)
        return outputs["cls_logits"].float(), outputs["bbox_regression"].float(), anchors

    def losses(self, batch: ImageList, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        logits, regression, anchors = self._heads(batch)
        matched = [self._match(a, t["boxes"]) for a, t in zip(anchors, targets, strict=True)]
        labels = [_anchor_labels(m, t["labels"]) for m, t in zip(matched, targets, strict=True)]

        foreground_prob = logits.detach().softmax(-1)[..., 1:].amax(-1)
        positive, negative = self.sample(
            self.sampler or self.default_sampler, labels, foreground_prob.flatten()
        )
        return {
            "classification": self._classification_loss(logits, labels, positive, negative),
            "bbox_regression": self._regression_loss(regression, anchors, matched, targets),
        }

    def _match(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """int64 [A], the index of the object that each anchor stands for, or -1."""
        if not len(boxes):
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        matched: Tensor = self.network.proposal_matcher(box_iou(boxes, anchors))
        return matched

    def _classification_loss(
        self, logits: Tensor, labels: list[Tensor], positive: list[Tensor], negative: list[Tensor]
    ) -> Tensor:
        flat_logits, flat_labels = logits.flatten(0, 1), torch.cat(labels)
        loss = flat_logits.new_zeros(())
        for masks, weight in ((positive, 1.0), (negative, self.negative_weight)):
            chosen = torch.cat(masks)
            total = functional.cross_entropy(
                flat_logits[chosen], flat_labels[chosen], reduction="sum"
            )
            loss = loss + weight * total / chosen.sum().clamp(min=1)
        return loss

    def _regression_loss(
        self,
        regression: Tensor,
        anchors: list[Tensor],
        matched: list[Tensor],
        targets: list[dict[str, Tensor]],
    ) -> Tensor:
        total = regression.new_zeros(())
        num_positive = 0
        for offsets, image_anchors, match, target in zip(
            regression, anchors, matched, targets, strict=True
        ):
            on = (match >= 0).nonzero().flatten()
            num_positive += len(on)
            wanted = self.network.box_coder.encode_single(
                target["boxes"][match[on]], image_anchors[on]
            )
            total = total + functional.smooth_l1_loss(offsets[on], wanted, reduction="sum")
        return total / max(1, num_positive)

    def dense(self, pixels: Tensor) -> dict[str, Tensor]:
        return class_logits_and_maps(self.network, pixels)

    def score(
        self, batch: ImageList, min_score: float = 0.0, dense: Dense | None = None
    ) -> list[ScoredImage]:
        outputs = dict((dense or self.dense)(batch.tensors))
        logits = outputs.pop("cls_logits").float()
        features = list(outputs.values())
        log_odds, bound = highest_softmax_log_odds(logits)
        threshold = max(min_score, self.spec.score_threshold)
        floor = log_odds_floor(threshold)
        scored = [ScoredImage(value, no_detections()) for value in log_odds]
        rows = [i for i, value in enumerate(log_odds) if value > floor]
        if not rows:
            return scored
        regression = self.network.head.regression_head(rows_of(features, rows)).float()
        anchors = anchors_of_one(self.network.anchor_generator, batch, features)
        for row, offsets in zip(rows, regression, strict=True):
            near = (bound[row] > floor).nonzero().flatten()
            boxes = self.network.box_coder.decode_single(offsets[near], anchors[near])
            boxes = clip_boxes_to_image(boxes, batch.image_sizes[row])
            found = self._detections(logits[row, near], boxes, threshold)
            scored[row] = ScoredImage(log_odds[row], found)
        return scored

    def _detections(self, logits: Tensor, boxes: Tensor, threshold: float) -> Detections:
        """Of the anchors that can pass the threshold: logits [N, 1 + K], boxes [N, 4]."""
        scores = logits.softmax(-1)[:, 1:]
        anchor, column = (scores > threshold).nonzero(as_tuple=True)
        scores = scores[anchor, column]
        chosen = highest_of_each(scores, column, self.network.topk_candidates)
        return suppress(boxes[anchor[chosen]], scores[chosen], column[chosen] + 1, self.spec)


def _anchor_labels(matched: Tensor, labels: Tensor) -> Tensor:
    """int64 [A]: the class of the matched object, 0 where there is none."""
    if not len(labels):
        return torch.zeros_like(matched)
    return torch.where(matched >= 0, labels[matched.clamp(min=0)], 0)


def torchvision_ssdlite(spec: DetectorSpec) -> Detector:
    network = ssdlite320_mobilenet_v3_large(
        weights=None,
        weights_backbone=None,
        num_classes=len(spec.class_names) + 1,
        image_mean=list(spec.image_mean),
        image_std=list(spec.image_std),
        score_thresh=spec.score_threshold,
        nms_thresh=spec.nms_threshold,
        detections_per_img=spec.detections_per_image,
    )
    network.transform.fixed_size = spec.input_size[::-1]
    return SSDDetector(spec, network, network.backbone.features)


def torchvision_ssd300(spec: DetectorSpec) -> Detector:
    """Its anchors are written for 300 x 300 pixels: raises ValueError for another size."""
    if spec.input_size != (300, 300):
        raise ValueError(f"ssd300_vgg16 takes 300 x 300 pixels, not {spec.input_size}")
    network = ssd300_vgg16(
        weights=None,
        weights_backbone=None,
        num_classes=len(spec.class_names) + 1,
        image_mean=list(spec.image_mean),
        image_std=list(spec.image_std),
        score_thresh=spec.score_threshold,
        nms_thresh=spec.nms_threshold,
        detections_per_img=spec.detections_per_image,
    )
    return SSDDetector(spec, network, network.backbone.features)


def efficientnet_lite0_ssd(spec: DetectorSpec) -> Detector:
    """EfficientNet-Lite0, a light pyramid of strides 8 to 128, depthwise-separable heads."""
    trunk = Lite0Trunk()
    backbone = FeaturePyramid(trunk, trunk.out_channels, width=128, num_extra_levels=2)
    anchors = DefaultBoxGenerator([[2]] * 5, scales=[0.08, 0.16, 0.32, 0.54, 0.8, 1.0])
    return SSDDetector(spec, _ssd_over(backbone, anchors, spec), trunk)


def small_ssd(spec: DetectorSpec) -> Detector:
    """Three levels over nine convolutions: learns a simple scene from scratch within a minute."""
    trunk = SmallTrunk()
    backbone = FeaturePyramid(trunk, trunk.out_channels, width=64, num_extra_levels=0)
    anchors = DefaultBoxGenerator([[2]] * 3, scales=[0.12, 0.25, 0.5, 0.9])
    return SSDDetector(spec, _ssd_over(backbone, anchors, spec), trunk)


def _ssd_over(backbone: FeaturePyramid, anchors: DefaultBoxGenerator, spec: DetectorSpec) -> SSD:
    num_classes = len(spec.class_names) + 1
    return SSD(
        backbone,
        anchors,
        spec.input_size[::-1],
        num_classes,
        image_mean=list(spec.image_mean),
        image_std=list(spec.image_std),
        head=SSDLiteHead(
            backbone.out_channels, anchors.num_anchors_per_location(), num_classes, nn.BatchNorm2d
        ),
        score_thresh=spec.score_threshold,
        nms_thresh=spec.nms_threshold,
        detections_per_img=spec.detections_per_image,
    )
