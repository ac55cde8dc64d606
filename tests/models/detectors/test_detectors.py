"""Detector families are built by name, learn from any batch, and score by exact log-odds."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models.detectors import ARCHITECTURES, Detector
from models.detectors.scores import log_odds_floor, softmax_log_odds
from models.sampling import AnchorSampler
from tests.models.conftest import HEAVIER_TWINS, HEAVY, build_small, draw_images

OBJECT = {"boxes": torch.tensor([[20.0, 30.0, 90.0, 100.0]]), "labels": torch.tensor([2])}
EMPTY = {"boxes": torch.zeros((0, 4)), "labels": torch.zeros(0, dtype=torch.int64)}
BATCHES = {"empty only": [EMPTY, EMPTY], "mixed": [OBJECT, EMPTY], "objects only": [OBJECT] * 2}

# The heavier twins share their losses with lighter architectures.
EVERY_BATCH = [
    pytest.param(name, batch, marks=pytest.mark.slow if name in HEAVY else ())
    for name in ARCHITECTURES
    for batch in BATCHES
    if name not in HEAVIER_TWINS or batch == "mixed"
]


def _ten_hardest(labels: Sequence[Tensor], prob: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    negative = []
    for image_labels, image_prob in zip(
        labels, torch.split(prob, [len(image) for image in labels]), strict=True
    ):
        background = image_prob.masked_fill(image_labels != 0, -1)
        negative.append(background >= background.topk(10).values[-1])
    return [image_labels > 0 for image_labels in labels], negative


def _nothing(labels: Sequence[Tensor], prob: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    return ([torch.zeros_like(image, dtype=torch.bool) for image in labels],) * 2


@pytest.fixture(scope="module")
def untrained(family: str) -> Detector:
    return build_small(family)


@pytest.mark.parametrize(("family", "batch"), EVERY_BATCH, indirect=["family"])
def test_every_batch_teaches(untrained: Detector, batch: str) -> None:
    _require_gradient(untrained, batch, sampler=None)


@pytest.mark.parametrize("batch", BATCHES)
def test_every_batch_teaches_with_a_sampler(untrained: Detector, batch: str) -> None:
    _require_gradient(untrained, batch, sampler=_ten_hardest)


def _require_gradient(detector: Detector, batch: str, sampler: AnchorSampler | None) -> None:
    detector.train()
    detector.sampler = sampler
    detector.zero_grad()

    losses = detector(draw_images([(110, 130)] * 2), BATCHES[batch])
    torch.autograd.backward(list(losses.values()))

    assert all(math.isfinite(loss.item()) for loss in losses.values())
    gradients = [p.grad.norm() for p in detector.parameters() if p.grad is not None]
    norm = torch.stack(gradients).norm().item()
    assert math.isfinite(norm)
    assert norm > 0


def test_a_sampler_that_chooses_nothing_gives_finite_losses(untrained: Detector) -> None:
    untrained.train()
    untrained.sampler = _nothing

    losses = untrained(draw_images([(110, 130)] * 2), BATCHES["mixed"])

    assert all(math.isfinite(loss.item()) for loss in losses.values())


def test_softmax_log_odds_are_exact_for_probabilities_of_one() -> None:
    logits = torch.tensor([[0.0, 40.0, 1.0], [0.0, 41.0, 1.0], [2.0, 1.0, 1.0]])

    log_odds = softmax_log_odds(logits)

    others = torch.tensor([[0.0, 1.0], [0.0, 1.0], [2.0, 1.0]], dtype=torch.float64)
    expected = torch.tensor([40.0, 41.0, 1.0], dtype=torch.float64) - others.logsumexp(-1)
    torch.testing.assert_close(log_odds, expected)
    assert logits.softmax(-1)[:2, 1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("log_odds", "threshold", "expected"),
    [(0.1, 0.5, True), (-0.1, 0.5, False), (-800.0, 0.0, True), (800.0, 1.0, False)],
)
def test_floor_of_log_odds(log_odds: float, threshold: float, expected: bool) -> None:
    assert (log_odds > log_odds_floor(threshold)) is expected
