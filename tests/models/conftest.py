"""Small detectors of every family, with scores as spread out as those of trained ones."""

import re
from collections.abc import Iterable

import pytest
import torch
from _pytest.mark.structures import ParameterSet
from torch import Tensor, nn

from models.detectors import ARCHITECTURES, Detector, build
from models.inference.predict import predict

HEAVY = {"ssd300_vgg16", "retinanet_resnet50_fpn_v2", "fcos_resnet50_fpn"}
HEAVY |= {"fasterrcnn_resnet50_fpn_v2"}  # a step takes seconds on a small machine


def build_small(architecture: str, class_names: tuple[str, ...] = ("cat", "dog")) -> Detector:
    """Build a detector, at a small input size if the architecture has no fixed one."""
    torch.manual_seed(0)
    if architecture.startswith("ssd"):
        return build(architecture, class_names)
    detector = build(architecture, class_names, input_size=(128, 192))
    propose_few(detector.network)
    return detector


def propose_few(network: nn.Module) -> None:
    """Pass few proposals to a second stage, which takes seconds for the usual thousand."""
    if hasattr(network, "rpn"):
        vars(network.rpn)["_post_nms_top_n"] = {"training": 20, "testing": 60}


def spread_scores(detector: Detector) -> None:
    """Settle BatchNorm on noise and scale class layers to logits of spread 1: none are equal."""
    norms = [m for m in detector.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    noise = draw_images([(160, 160)] * 2)
    no_objects = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()}] * 2
    with torch.no_grad():
        detector.train()(noise, no_objects)
        layers = [
            layer
            for name, layer in detector.network.named_modules()
            if isinstance(layer, (nn.Conv2d, nn.Linear))
            and not name.endswith("bbox_pred")  # outputs per class, but boxes
            and re.fullmatch(detector.class_layers, f"{name}.weight")
        ]
        hooks = [layer.register_forward_hook(_scale_to_unit_spread) for layer in layers]
        predict(detector.eval(), [detector.preprocess(noise[0])])
    for hook in hooks:
        hook.remove()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _scale_to_unit_spread(
    layer: nn.Conv2d | nn.Linear, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    layer.weight.data /= output.std()
    if layer.bias is not None:
        layer.bias.data.zero_()


def draw_images(sizes: list[tuple[int, int]]) -> list[Tensor]:
    """Draw uint8 [3, H, W] of each size; the noise is coarse and survives resizing."""
    generator = torch.Generator().manual_seed(3)
    images = []
    for size in sizes:
        coarse = torch.randint(0, 256, (1, 3, 9, 7), generator=generator).float()
        images.append(nn.functional.interpolate(coarse, size=size, mode="bicubic"))
    return [image[0].clamp(0, 255).to(torch.uint8) for image in images]


def families(names: Iterable[str]) -> list[ParameterSet]:
    """Return parameters for the fixture `family`; heavy ones are slow."""
    return [pytest.param(name, marks=pytest.mark.slow if name in HEAVY else ()) for name in names]


# SSD300, and Faster R-CNN over ResNet-50, share all their code with lighter architectures.
HEAVIER_TWINS = {"ssd300_vgg16", "fasterrcnn_resnet50_fpn_v2"}
EVERY_ARCHITECTURE = families(ARCHITECTURES)
ONE_OF_EACH_STAGE = families(["ssd_small", "fasterrcnn_mobilenet_v3_large_320_fpn"])


@pytest.fixture(
    scope="module", params=families(name for name in ARCHITECTURES if name not in HEAVIER_TWINS)
)
def family(request: pytest.FixtureRequest) -> str:
    """Give the name of each architecture in turn, without the heavier twins."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def detector(family: str) -> Detector:
    """Build a detector of the family in eval mode, with spread scores."""
    detector = build_small(family)
    spread_scores(detector)
    return detector
