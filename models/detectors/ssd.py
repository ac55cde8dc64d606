"""SSD: two architectures of torchvision's, and two of our own."""

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD, ssd300_vgg16
from torchvision.models.detection.ssdlite import SSDLiteHead, ssdlite320_mobilenet_v3_large
from torchvision.ops import box_iou

from models.detectors.backbones import FeaturePyramid, Lite0Backbone, SmallBackbone
from models.detectors.detector import Detector
from models.detectors.one_stage import Heads, OneStageDetector
from models.detectors.scores import highest_softmax_log_odds
from models.detectors.spec import DetectorSpec
from models.losses.ignored import ignore_anchors
from models.losses.matching import best_objects
from models.losses.sampled import sampled_cross_entropy
from models.losses.ssd import smooth_l1_of_offsets
from models.sampling import AnchorSampler, RatioSampler

NEGATIVES_PER_POSITIVE = 3.0  # the paper's
MIN_NEGATIVES = 20  # per image, also where there are no positives
MIN_IOU = 0.5  # of an anchor with the object that it is to predict, unless it is the object's best


class SSDDetector(OneStageDetector):
    """
    SSD (Liu et al. 2016, arXiv:1512.02325) over torchvision's `SSD` module.

    The loss differs from the paper's in two ways. Each image has 3 negatives per positive *and at
    least* 20: torchvision's count alone gives an image without objects exactly zero loss. And
    positives and negatives are averaged apart,
    `mean(positives) + negative_weight * mean(negatives)`: with 3 negatives per positive and
    weight 3 this is the paper's sum over the number of positives, but images without objects
    cannot drown the positives of others, however many anchors they add. The hardest negatives
    are those with the highest probability of any one class; torchvision takes the highest of all
    classes together, which is the same for one class. Anchors are matched as in the paper: of two
    objects that share their best anchor, torchvision loses one (see `best_objects`).
    """

    class_layers = r"head\.classification_head\.module_list\.\d+\.(1\.)?(weight|bias)"
    limits_each_level = False
    network: SSD

    def __init__(self, spec: DetectorSpec, network: SSD, backbone: nn.Module) -> None:
        super().__init__(spec, network, backbone)
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
        labels = [
            ignore_anchors(_anchor_labels(m, t["labels"]), a, t["ignored"], t["background"])
            for m, a, t in zip(matched, anchors, targets, strict=True)
        ]

        foreground_prob = logits.detach().softmax(-1)[..., 1:].amax(-1)
        positive, negative = self.sample(
            self.sampler or self.default_sampler, labels, foreground_prob.flatten()
        )
        return {
            "classification": sampled_cross_entropy(
                logits,
                torch.stack(labels),
                torch.stack(positive),
                torch.stack(negative),
                self.negative_weight,
            ),
            "bbox_regression": self._regression_loss(regression, anchors, matched, targets),
        }

    def _match(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """Return int64 [A], the index of the object that each anchor is to predict, or -1."""
        if not len(boxes):
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        iou, matched = best_objects(box_iou(boxes, anchors))
        return torch.where(iou >= MIN_IOU, matched, -1)

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
            loss = smooth_l1_of_offsets(offsets[on], target["boxes"][match[on]], image_anchors[on])
            total = total + loss.sum()
        return total / max(1, num_positive)

    def rank(self, heads: Heads) -> tuple[list[float], Tensor]:
        return highest_softmax_log_odds(heads["cls_logits"])

    def probabilities(self, heads: Heads) -> Tensor:
        return heads["cls_logits"].softmax(-1)[:, 1:]


def _anchor_labels(matched: Tensor, labels: Tensor) -> Tensor:
    """Return int64 [A]: the class of the matched object, 0 for none."""
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
    """Build SSD300. Its anchors fit 300 x 300 pixels: raises ValueError for another size."""
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
    """Build on EfficientNet-Lite0: a light pyramid of strides 8 to 128, depthwise heads."""
    backbone = Lite0Backbone()
    pyramid = FeaturePyramid(backbone, backbone.out_channels, width=128, num_extra_levels=2)
    anchors = DefaultBoxGenerator([[2]] * 5, scales=[0.08, 0.16, 0.32, 0.54, 0.8, 1.0])
    return SSDDetector(spec, _ssd_over(pyramid, anchors, spec), backbone)


def small_ssd(spec: DetectorSpec) -> Detector:
    """Build three levels over nine convolutions, to learn simple scenes within a minute."""
    backbone = SmallBackbone()
    pyramid = FeaturePyramid(backbone, backbone.out_channels, width=64, num_extra_levels=0)
    anchors = DefaultBoxGenerator([[2]] * 3, scales=[0.12, 0.25, 0.5, 0.9])
    return SSDDetector(spec, _ssd_over(pyramid, anchors, spec), backbone)


def _ssd_over(pyramid: FeaturePyramid, anchors: DefaultBoxGenerator, spec: DetectorSpec) -> SSD:
    num_classes = len(spec.class_names) + 1
    return SSD(
        pyramid,
        anchors,
        spec.input_size[::-1],
        num_classes,
        image_mean=list(spec.image_mean),
        image_std=list(spec.image_std),
        head=SSDLiteHead(
            pyramid.out_channels, anchors.num_anchors_per_location(), num_classes, nn.BatchNorm2d
        ),
        score_thresh=spec.score_threshold,
        nms_thresh=spec.nms_threshold,
        detections_per_img=spec.detections_per_image,
    )
