"""Pretrained weights by name: torchvision's detectors, and backbones trained on ImageNet."""

import re
from pickle import UnpicklingError

from torch import Tensor, nn
from torchvision.models import (
    MobileNet_V3_Large_Weights,
    ResNet50_Weights,
    VGG16_Weights,
    WeightsEnum,
    get_model_weights,
)

from models.detectors.backbones import lite0_imagenet_weights
from models.detectors.detector import Detector


class WeightsUnavailableError(ValueError):
    """Known weights that cannot be downloaded here; the text says what to do instead."""


WITHOUT_IMAGENET = ("ssdlite320_mobilenet_v3_large", "ssd_small")


def check_weights(architecture: str, name: str) -> None:
    """Check, offline, that the architecture has weights of that name. Raises ValueError."""
    if name.lower() == "imagenet":
        if architecture in WITHOUT_IMAGENET:
            raise ValueError(f"there are no ImageNet weights for the backbone of {architecture}")
    elif find_coco_weights(architecture, name) is None:
        raise ValueError(f"{architecture} has no weights {name!r}")


def find_coco_weights(architecture: str, name: str) -> WeightsEnum | None:
    """Return torchvision's weights of that name, such as "COCO_V1" or "DEFAULT", if known."""
    try:
        known: type[WeightsEnum] = get_model_weights(architecture)
    except ValueError:  # an architecture of our own
        return None
    found: WeightsEnum | None = known.__members__.get(name.upper())
    return found


def coco_class_names(weights: WeightsEnum) -> tuple[str, ...]:
    """Return the categories in label order; numbers that COCO left free get unique names."""
    categories = weights.meta["categories"][1:]
    return tuple(
        f"N/A {label}" if name == "N/A" else name for label, name in enumerate(categories, start=1)
    )


def load_coco(detector: Detector, weights: WeightsEnum) -> None:
    """
    Fill a detector with torchvision's weights.

    Layers that output classes keep their new weights if the class names differ from COCO's.

    Raises:
        WeightsUnavailableError: The weights cannot be downloaded.
    """
    state = _download(weights)
    if detector.spec.class_names != coco_class_names(weights):
        pattern = re.compile(detector.class_layers)
        state = {name: tensor for name, tensor in state.items() if not pattern.fullmatch(name)}
        own = detector.network.state_dict()
        state |= {name: tensor for name, tensor in own.items() if pattern.fullmatch(name)}
    _load(detector.network, state)


def load_imagenet(detector: Detector) -> None:
    """
    Fill a detector's backbone with weights trained to classify ImageNet.

    Raises:
        ValueError: There are none for the architecture.
        WeightsUnavailableError: The weights cannot be downloaded.
    """
    architecture, network = detector.spec.architecture, detector.network
    if architecture == "ssd_efficientnet_lite0":
        _load(network.get_submodule("backbone.trunk"), lite0_imagenet_weights())
    elif architecture == "ssd300_vgg16":
        _load_vgg16(network.get_submodule("backbone"), _download(VGG16_Weights.IMAGENET1K_FEATURES))
    elif architecture.endswith(("resnet50_fpn", "resnet50_fpn_v2")):
        _load(network.get_submodule("backbone.body"), _download(ResNet50_Weights.IMAGENET1K_V1))
    elif architecture == "fasterrcnn_mobilenet_v3_large_320_fpn":
        state = _download(MobileNet_V3_Large_Weights.IMAGENET1K_V1)
        _load(
            network.get_submodule("backbone.body"),
            {n.removeprefix("features."): t for n, t in state.items()},
        )
    else:
        raise ValueError(f"there are no ImageNet weights for the backbone of {architecture}")


def _download(weights: WeightsEnum) -> dict[str, Tensor]:
    """Load from torch's cache, or from torchvision's server with a check of the digest."""
    try:
        state: dict[str, Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except (OSError, RuntimeError, UnpicklingError) as error:
        raise WeightsUnavailableError(
            f"the weights {weights} could not be downloaded from {weights.url} ({error}). "
            "Download the file on another machine and put it into torch's cache here (the folder "
            "checkpoints below TORCH_HOME/hub), or build the detector there, save it with "
            "save_checkpoint and upload the safetensors file"
        ) from error
    return state


def _load(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Load all tensors of the module; counts of batches may be missing, as in old weights."""
    names = set(module.state_dict())
    loaded = module.load_state_dict(
        {name: tensor for name, tensor in state.items() if name in names}, strict=False
    )
    missing = [n for n in loaded.missing_keys if not n.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(f"the weights lack {len(missing)} tensors, among them {missing[0]}")


def _load_vgg16(backbone: nn.Module, state: dict[str, Tensor]) -> None:
    """Load the 13 convolutions by their order, because torchvision's SSD renames them."""
    tensors = [tensor for name, tensor in state.items() if name.startswith("features.")]
    names = [name for name in backbone.state_dict() if re.match(r"features\.|extra\.0\.", name)]
    loaded = backbone.load_state_dict(dict(zip(names, tensors, strict=False)), strict=False)
    if loaded.unexpected_keys or len(tensors) != 26:
        raise ValueError(f"VGG-16 has 26 tensors of convolutions, these weights {len(tensors)}")
