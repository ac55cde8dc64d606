"""Detector families: built by name, trained on any batch, scored with thresholds of their own."""

import math

import pytest
import torch
from torch import Tensor

from models.detectors import ARCHITECTURES, Detector, build
from models.detectors.scores import can_exceed, softmax_log_odds

OBJECT = {"boxes": torch.tensor([[20.0, 30.0, 90.0, 100.0]]), "labels": torch.tensor([2])}
EMPTY = {"boxes": torch.zeros((0, 4)), "labels": torch.zeros(0, dtype=torch.int64)}
BATCHES = {"empty only": [EMPTY, EMPTY], "mixed": [OBJECT, EMPTY], "objects only": [OBJECT] * 2}


# seconds per step on a small machine
HEAVY = {"ssd300_vgg16"}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.slow if name in HEAVY else ())
        for name in ARCHITECTURES
    ],
)
def detector(request: pytest.FixtureRequest) -> Detector:
    torch.manual_seed(0)
    return build(request.param, ["cat", "dog"])


def _images(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randint(0, 256, (3, 110, 130), dtype=torch.uint8, generator=generator)
        for _ in range(count)
    ]


@pytest.mark.parametrize("batch", BATCHES)
def test_every_batch_teaches(detector: Detector, batch: str) -> None:
    detector.train()
    detector.zero_grad()

    losses = detector(_images(2), BATCHES[batch])
    torch.autograd.backward(list(losses.values()))

    assert all(math.isfinite(loss.item()) for loss in losses.values())
    grads = [p.grad for p in detector.parameters() if p.grad is not None]
    norm = torch.stack([grad.norm() for grad in grads]).norm()
    assert math.isfinite(norm.item())
    assert norm > 0


def test_softmax_log_odds_are_exact_where_probabilities_are_all_one() -> None:
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
def test_can_exceed(log_odds: float, threshold: float, expected: bool) -> None:
    assert can_exceed(log_odds, threshold) is expected
    assert can_exceed(math.nan, threshold) is False
