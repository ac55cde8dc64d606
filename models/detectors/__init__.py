"""Detector families by name: build one, or rebuild it from its spec."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.detectors import faster_rcnn, fcos, retinanet, ssd
from models.detectors.detector import Detector, PreparedImage, ScoredImage
from models.detectors.spec import DetectorSpec
from models.detectors.weights import (
    WeightsUnavailableError,
    check_weights,
    coco_class_names,
    find_coco_weights,
    load_coco,
    load_imagenet,
)

__all__ = [
    "ARCHITECTURES",
    "Detector",
    "DetectorSpec",
    "PreparedImage",
    "ScoredImage",
    "WeightsUnavailableError",
    "build",
    "build_from_spec",
    "check_weights",
    "training_bytes",
]


@dataclass(frozen=True, slots=True)
class _Architecture:
    """A constructor with the architecture's own numbers; mean and std default to ImageNet's."""

    construct: Callable[[DetectorSpec], Detector]
    training_bytes_per_pixel: int  # what autograd keeps of a batch, measured and rounded up
    input_size: tuple[int, int]
    score_threshold: float
    nms_threshold: float
    detections_per_image: int
    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    image_std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    antialias: bool = False


# torchvision's own numbers for its own architectures
_KNOWN = {
    "ssdlite320_mobilenet_v3_large": _Architecture(
        construct=ssd.torchvision_ssdlite,
        training_bytes_per_pixel=1000,
        input_size=(320, 320),
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
        score_threshold=0.001,
        nms_threshold=0.55,
        detections_per_image=300,
    ),
    "ssd300_vgg16": _Architecture(
        construct=ssd.torchvision_ssd300,
        training_bytes_per_pixel=1700,
        input_size=(300, 300),
        image_mean=(0.48235, 0.45882, 0.40784),
        image_std=(1 / 255, 1 / 255, 1 / 255),
        score_threshold=0.01,
        nms_threshold=0.45,
        detections_per_image=200,
    ),
    "ssd_efficientnet_lite0": _Architecture(
        construct=ssd.efficientnet_lite0_ssd,
        training_bytes_per_pixel=1700,
        input_size=(256, 256),
        image_mean=(127 / 255, 127 / 255, 127 / 255),
        image_std=(128 / 255, 128 / 255, 128 / 255),
        score_threshold=0.05,
        nms_threshold=0.5,
        detections_per_image=100,
        antialias=True,
    ),
    "ssd_small": _Architecture(
        construct=ssd.small_ssd,
        training_bytes_per_pixel=160,
        input_size=(160, 160),
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.25, 0.25, 0.25),
        score_threshold=0.05,
        nms_threshold=0.5,
        detections_per_image=100,
        antialias=True,
    ),
    "retinanet_resnet50_fpn_v2": _Architecture(
        construct=retinanet.resnet50_fpn_v2,
        training_bytes_per_pixel=2300,
        input_size=(800, 1333),
        score_threshold=0.05,
        nms_threshold=0.5,
        detections_per_image=300,
    ),
    "fcos_resnet50_fpn": _Architecture(
        construct=fcos.resnet50_fpn,
        training_bytes_per_pixel=2300,
        input_size=(800, 1333),
        score_threshold=0.2,
        nms_threshold=0.6,
        detections_per_image=100,
    ),
    "fasterrcnn_resnet50_fpn_v2": _Architecture(
        construct=faster_rcnn.resnet50_fpn_v2,
        training_bytes_per_pixel=2300,
        input_size=(800, 1333),
        score_threshold=0.05,
        nms_threshold=0.5,
        detections_per_image=100,
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": _Architecture(
        construct=faster_rcnn.mobilenet_v3_large_320_fpn,
        training_bytes_per_pixel=1200,
        input_size=(320, 640),
        score_threshold=0.05,
        nms_threshold=0.5,
        detections_per_image=100,
    ),
}
ARCHITECTURES = tuple(_KNOWN)


def training_bytes(architecture: str, input_size: tuple[int, int] | None = None) -> int:
    """Return the memory that one image of a batch takes in training; None is the usual size."""
    known = _find(architecture)
    height, width = input_size or known.input_size
    return known.training_bytes_per_pixel * height * width


def build(
    architecture: str,
    class_names: Sequence[str] | None = None,
    *,
    weights: str | None = None,
    input_size: tuple[int, int] | None = None,
    image_mean: tuple[float, float, float] | None = None,
    image_std: tuple[float, float, float] | None = None,
    score_threshold: float | None = None,
    nms_threshold: float | None = None,
    detections_per_image: int | None = None,
    freeze_batch_norm: bool | None = None,
) -> Detector:
    """
    Build a new detector; the same torch seed gives the same weights.

    `architecture` is one of `ARCHITECTURES`; `class_names` are the object classes in label order,
    background left out. `weights` are

    - None: random;
    - "imagenet": a backbone trained on ImageNet under a new head;
    - "COCO_V1" or "DEFAULT": torchvision's own detector. It is kept whole if `class_names` is
      None or equals its categories; else the layers that output classes are new.

    The other arguments are fields of `DetectorSpec`. None takes the architecture's own number, and
    for `freeze_batch_norm` True if `weights` are given.

    Raises:
        ValueError: A name is unknown, or a value is out of range.
        WeightsUnavailableError: The weights cannot be downloaded; a kind of ValueError.
    """
    known = _find(architecture)
    if weights is not None:
        check_weights(architecture, weights)
    coco = None if weights is None else find_coco_weights(architecture, weights)
    if class_names is None:
        if coco is None:
            raise ValueError("class_names can only be left out with weights that have their own")
        class_names = coco_class_names(coco)
    if freeze_batch_norm is None:
        freeze_batch_norm = weights is not None
    spec = DetectorSpec(
        architecture=architecture,
        class_names=tuple(class_names),
        input_size=input_size or known.input_size,
        image_mean=image_mean or known.image_mean,
        image_std=image_std or known.image_std,
        score_threshold=known.score_threshold if score_threshold is None else score_threshold,
        nms_threshold=known.nms_threshold if nms_threshold is None else nms_threshold,
        detections_per_image=detections_per_image or known.detections_per_image,
        antialias=known.antialias,
        freeze_batch_norm=freeze_batch_norm,
    )
    detector = known.construct(spec)
    if coco is not None:
        load_coco(detector, coco)
    elif weights is not None:
        load_imagenet(detector)
    return detector


def build_from_spec(spec: DetectorSpec) -> Detector:
    """Build a detector with random weights. Raises ValueError for an unknown architecture."""
    return _find(spec.architecture).construct(spec)


def _find(architecture: str) -> _Architecture:
    try:
        return _KNOWN[architecture]
    except KeyError:
        raise ValueError(
            f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}"
        ) from None
