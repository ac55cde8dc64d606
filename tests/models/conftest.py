"""Small detectors of every family whose scores spread as those of trained ones do."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.detectors import ARCHITECTURES, Detector, build

HEAVY = {"ssd300_vgg16", "retinanet_resnet50_fpn_v2", "fcos_resnet50_fpn"}
HEAVY |= {"fasterrcnn_resnet50_fpn_v2"}  # seconds for a step on a small machine

Images = Callable[[list[tuple[int, int]]], list[Tensor]]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small tensors gain nothing from two, and lose much where other processes run."""
    torch.set_num_threads(1)


def build_small(architecture: str, class_names: tuple[str, ...] = ("cat", "dog")) -> Detector:
    """At a small input size where the architecture allows another than its own."""
    torch.manual_seed(0)
    if architecture.startswith("ssd"):
        return build(architecture, class_names)
    return build(architecture, class_names, input_size=(128, 192))


def spread_scores(detector: Detector) -> None:
    """Settle BatchNorm on noise, and draw class layers anew, so that no two scores are alike."""
    norms = [m for m in detector.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    detector.train()
    noise = draw_images([(160, 160)] * 2)
    with torch.no_grad():
        detector(noise, [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()}] * 2)
        for name, parameter in detector.network.named_parameters():
            if re.fullmatch(detector.class_layers, name) and parameter.ndim > 1:
                nn.init.normal_(parameter, std=3 / parameter[0].numel() ** 0.5)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    detector.eval()


def draw_images(sizes: list[tuple[int, int]]) -> list[Tensor]:
    """uint8 [3, H, W] of each size: coarse noise, so that resizing keeps some of it."""
    generator = torch.Generator().manual_seed(3)
    images = []
    for size in sizes:
        coarse = torch.randint(0, 256, (1, 3, 9, 7), generator=generator).float()
        images.append(nn.functional.interpolate(coarse, size=size, mode="bicubic"))
    return [image[0].clamp(0, 255).to(torch.uint8) for image in images]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.slow if name in HEAVY else ())
        for name in ARCHITECTURES
    ],
)
def family(request: pytest.FixtureRequest) -> str:
    """The name of each architecture in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def detector(family: str) -> Detector:
    """In eval mode, its scores spread."""
    detector = build_small(family)
    spread_scores(detector)
    return detector
