"""Detector families by name: build one, or rebuild it from its spec."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn

from models.detectors import ssd
from models.detectors.detector import AnchorSampler, Detector, PreparedImage, ScoredImage
from models.detectors.spec import DetectorSpec
from models.detectors.weights import WeightsUnavailableError, load_lite0_imagenet

__all__ = [
    "ARCHITECTURES",
    "AnchorSampler",
    "Detector",
    "DetectorSpec",
    "PreparedImage",
    "ScoredImage",
    "WeightsUnavailableError",
    "build",
    "build_from_spec",
]

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class _Architecture:
    construct: Callable[[DetectorSpec], Detector]
    defaults: DetectorSpec  # of one class, to be replaced
    load_imagenet: Callable[[nn.Module], None] | None = None


def _known(
    construct: Callable[[DetectorSpec], Detector],
    input_size: tuple[int, int],
    *,
    image_mean: tuple[float, float, float] = _IMAGENET_MEAN,
    image_std: tuple[float, float, float] = _IMAGENET_STD,
    score_threshold: float,
    nms_threshold: float,
    detections_per_image: int,
    antialias: bool = False,
    load_imagenet: Callable[[nn.Module], None] | None = None,
) -> _Architecture:
    defaults = DetectorSpec(
        architecture="",
        class_names=("object",),
        input_size=input_size,
        image_mean=image_mean,
        image_std=image_std,
        score_threshold=score_threshold,
        nms_threshold=nms_threshold,
        detections_per_image=detections_per_image,
        antialias=antialias,
    )
    return _Architecture(construct, defaults, load_imagenet)


# torchvision's own numbers for its own architectures
_KNOWN = {
    "ssdlite320_mobilenet_v3_large": _known(
        ssd.torchvision_ssdlite,
        (320, 320),
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
        score_threshold=0.001,
        nms_threshold=0.55,
        detections_per_image=300,
    ),
    "ssd300_vgg16": _known(
        ssd.torchvision_ssd300,
        (300, 300),
        image_mean=(0.48235, 0.45882, 0.40784),
        image_std=(1 / 255, 1 / 255, 1 / 255),
        score_threshold=0.01,
        nms_threshold=0.45,
        detections_per_image=200,
    ),
    "ssd_efficientnet_lite0": _known(
        ssd.efficientnet_lite0_ssd,
        (256, 256),
        image_mean=(127 / 255, 127 / 255, 127 / 255),
        image_std=(128 / 255, 128 / 255, 128 / 255),
        score_threshold=0.05,
        nms_threshold=0.5,
        detections_per_image=100,
        antialias=True,
        load_imagenet=load_lite0_imagenet,
    ),
    "ssd_small": _known(
        ssd.small_ssd,
        (160, 160),
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.25, 0.25, 0.25),
        score_threshold=0.05,
        nms_threshold=0.5,
        detections_per_image=100,
        antialias=True,
    ),
}
ARCHITECTURES = tuple(_KNOWN)


def build(
    architecture: str,
    class_names: Sequence[str],
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
    A new detector; the same torch seed gives the same weights.

    `architecture` is one of `ARCHITECTURES`; `class_names` are the object classes in label order,
    background left out. `weights` None starts from random weights, "imagenet" from a trunk trained
    on ImageNet. The others are fields of `DetectorSpec`: None takes the architecture's own number,
    and for `freeze_batch_norm` True if `weights` are given.

    Raises ValueError for an unknown name or a value out of range, WeightsUnavailableError (one of
    its children) for weights that cannot be had.
    """
    known = _find(architecture)
    given = {
        "input_size": input_size,
        "image_mean": image_mean,
        "image_std": image_std,
        "score_threshold": score_threshold,
        "nms_threshold": nms_threshold,
        "detections_per_image": detections_per_image,
    }
    if freeze_batch_norm is None:
        freeze_batch_norm = weights is not None
    spec = replace(
        known.defaults,
        architecture=architecture,
        class_names=tuple(class_names),
        freeze_batch_norm=freeze_batch_norm,
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]  # names and types are those of the signature
    )
    detector = known.construct(spec)
    if weights is not None:
        if weights.lower() != "imagenet" or known.load_imagenet is None:
            raise ValueError(f"{architecture} has no weights {weights!r}")
        known.load_imagenet(detector.network)
    return detector


def build_from_spec(spec: DetectorSpec) -> Detector:
    """A detector with random weights. Raises ValueError for an unknown architecture."""
    return _find(spec.architecture).construct(spec)


def _find(architecture: str) -> _Architecture:
    try:
        return _KNOWN[architecture]
    except KeyError:
        raise ValueError(
            f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}"
        ) from None
