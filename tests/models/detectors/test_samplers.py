"""
Every detector family takes one step with every sampler, whatever the batch holds.

The backbone takes nearly all of a step's time, and does the same for every sampler. So it sees the
images once, and gradients flow back as far as its features. `test_every_batch_teaches` covers
whole networks.
"""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from models.detectors import ARCHITECTURES, Detector
from models.sampling import (
    AnchorSampler,
    OHEMSampler,
    RatioSampler,
    SamplerName,
    SamplerSpec,
    build_sampler,
)
from tests.models.conftest import HEAVIER_TWINS, build_small, draw_images

OBJECT = {"boxes": torch.tensor([[20.0, 30.0, 90.0, 100.0]]), "labels": torch.tensor([2])}
EMPTY = {"boxes": torch.zeros((0, 4)), "labels": torch.zeros(0, dtype=torch.int64)}
BATCHES = {"empty only": [EMPTY, EMPTY], "mixed": [OBJECT, EMPTY], "objects only": [OBJECT] * 2}
IMAGES = draw_images([(110, 130)] * 2)

QUICK = {"ssd_small", "fasterrcnn_mobilenet_v3_large_320_fpn"}  # one of each kind of loss
EVERY_BATCH = [
    pytest.param(name, batch, marks=() if name in QUICK else pytest.mark.slow)
    for name in ARCHITECTURES
    for batch in BATCHES
    if name in QUICK or (name not in HEAVIER_TWINS and batch != "objects only")
]


def ohem(labels: Sequence[Tensor], probs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Call `OHEMSampler` like an anchor sampler: ignored anchors overlap, others have one logit."""
    positive, negative = [], []
    image_probs = torch.split(probs, [len(image) for image in labels])
    for image_labels, prob in zip(labels, image_probs, strict=True):
        object_logit = prob.double().clamp(1e-12, 1 - 1e-12).logit().float()
        chosen = OHEMSampler(3)(
            image_labels[None] - 1,
            torch.stack([torch.zeros_like(object_logit), object_logit], dim=-1)[None],
            (image_labels[None] < 0).float(),
        )
        positive.append(chosen[0] == 1)
        negative.append(chosen[0] == -1)
    return positive, negative


SAMPLERS: dict[str, AnchorSampler | None] = {
    "the family's own": None,
    **{name: build_sampler(SamplerSpec(name, batch_size_per_image=64)) for name in SamplerName},
    "ratio with a floor": RatioSampler(3.0, min_negatives=20),
    "ohem": ohem,
}


class KnownFeatures(nn.Module):
    """A stand-in for a backbone that has seen the images."""

    def __init__(self, backbone: nn.Module, images: Tensor) -> None:
        super().__init__()
        with torch.no_grad():
            levels: dict[str, Tensor] = backbone(images)
        self.levels = {name: level.requires_grad_() for name, level in levels.items()}

    def forward(self, _: Tensor) -> dict[str, Tensor]:
        return self.levels


@pytest.fixture(scope="module")
def untrained(request: pytest.FixtureRequest) -> Detector:
    family: str = request.param
    detector = build_small(family).train()
    batch = detector.collate([detector.preprocess(image) for image in IMAGES])
    detector.network.backbone = KnownFeatures(
        detector.network.get_submodule("backbone"), batch.tensors
    )
    return detector


@pytest.mark.parametrize(("untrained", "batch"), EVERY_BATCH, indirect=["untrained"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_family_takes_a_step_with_every_sampler(
    untrained: Detector, sampler: str, batch: str
) -> None:
    detector = untrained.train()
    detector.sampler = SAMPLERS[sampler]
    backbone = detector.network.get_submodule("backbone")
    assert isinstance(backbone, KnownFeatures)
    features = list(backbone.levels.values())
    learning = [*features, *detector.parameters()]
    for tensor in learning:
        tensor.grad = None

    losses = detector(IMAGES, BATCHES[batch])
    torch.autograd.backward(list(losses.values()))

    assert all(math.isfinite(loss.item()) for loss in losses.values())
    assert any(level.grad is not None for level in features)
    norm = torch.stack([t.grad.norm() for t in learning if t.grad is not None]).norm()
    assert math.isfinite(norm)
    assert norm > 0
