"""Negatives in a fixed ratio to the positives: golden cases by hand, and a plain loop."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.ssd import SSD

from models.sampling import NaiveSampler, OHEMSampler, RatioSampler

NOTHING = -1


def logits_of(*background_minus_object: float) -> Tensor:
    """Return logits [1, A, 2]; anchors with lower numbers are harder."""
    values = torch.tensor(background_minus_object)
    return torch.stack([values, torch.zeros_like(values)], dim=-1)[None]


def test_naive_chooses_every_anchor() -> None:
    assert NaiveSampler()(torch.tensor([[0, -1, 3], [-2, -1, 1]])).tolist() == [
        [1, -1, 1],
        [-1, -1, 1],
    ]


def test_ohem_golden_case() -> None:
    matches = torch.tensor([[NOTHING, 0, NOTHING, NOTHING, NOTHING, NOTHING]])
    logits = logits_of(3.0, 0.0, -4.0, -1.0, 1.0, -2.0)
    ious = torch.tensor([[0.1, 0.8, 0.6, 0.4, 0.0, 0.49]])  # the third is hard, but overlaps

    chosen = OHEMSampler(2)(matches, logits, ious)

    assert chosen.tolist() == [[0, 1, 0, -1, 0, -1]]
    assert chosen.dtype == torch.int64


def test_ohem_takes_the_highest_iou_of_each_anchor() -> None:
    matches = torch.tensor([[0, NOTHING, NOTHING]])
    ious = torch.tensor([[[0.9, 0.1], [0.2, 0.7], [0.3, 0.4]]])

    assert OHEMSampler(2)(matches, logits_of(0, 0, 0), ious).tolist() == [[1, 0, -1]]


def test_ohem_rounds_the_number_of_negatives_down() -> None:
    matches = torch.tensor([[0, NOTHING, NOTHING, NOTHING]])

    chosen = OHEMSampler(1.9)(matches, logits_of(0, 0, -1, 1), torch.zeros(1, 4))

    assert chosen.tolist() == [[1, 0, -1, 0]]


def ohem_by_plain_loop(
    matches: list[int], logits: list[list[float]], ious: list[float], ratio: float, floor: int
) -> list[int]:
    """Choose for one image by the paper's rule."""
    marks = [1 if match >= 0 else 0 for match in matches]
    background_losses = [math.log(sum(math.exp(v - row[0]) for v in row)) for row in logits]
    free = [a for a, mark in enumerate(marks) if not mark and ious[a] < 0.5]
    free.sort(key=lambda a: (-background_losses[a], a))
    for a in free[: max(floor, math.floor(ratio * sum(marks)))]:
        marks[a] = -1
    return marks


@settings(deadline=None)
@given(st.data(), st.sampled_from([0.5, 1.0, 3.0]), st.integers(0, 5))
def test_ohem_matches_a_plain_loop(data: st.DataObject, ratio: float, floor: int) -> None:
    size = data.draw(st.integers(1, 12))
    images = data.draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    logits = torch.randn((images, size, 3), generator=generator)
    ious = torch.rand((images, size), generator=generator)
    matches = torch.randint(-1, 2, (images, size), generator=generator)

    chosen = OHEMSampler(ratio, floor)(matches, logits, ious)

    assert chosen.tolist() == [
        ohem_by_plain_loop(m.tolist(), x.tolist(), i.tolist(), ratio, floor)
        for m, x, i in zip(matches, logits, ious, strict=True)
    ]


@pytest.mark.parametrize("ious_shape", [(1, 200), (1, 200, 0)])
def test_ohem_fault_upstream_an_empty_image_teaches_nothing(ious_shape: tuple[int, ...]) -> None:
    matches = torch.full((1, 200), NOTHING)
    logits = logits_of(*range(200))
    ious = torch.zeros(ious_shape)

    assert int((OHEMSampler(3)(matches, logits, ious) == -1).sum()) == 64
    assert int((OHEMSampler(3, min_samples=20)(matches, logits, ious) == -1).sum()) == 20
    assert not OHEMSampler(3, min_samples=0)(matches, logits, ious).any()


def test_ohem_fault_upstream_excluded_anchors_and_positives_are_chosen() -> None:
    """Allow 1 of 5 anchors without a match as negative: upstream counts and takes all 5."""
    matches = torch.tensor([[0, 0, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING]])
    ious = torch.tensor([[0.9, 0.9, 0.5, 0.6, 0.7, 0.8, 0.2]])

    chosen = OHEMSampler(3)(matches, logits_of(0, 0, 0, 0, 0, 0, 5), ious)

    assert chosen.tolist() == [[1, 1, 0, 0, 0, 0, -1]]


def test_ohem_fault_upstream_a_large_logit_overflows() -> None:
    matches = torch.tensor([[0, NOTHING, NOTHING, NOTHING]])
    logits = logits_of(0, 500, -500, -900)

    chosen = OHEMSampler(2)(matches, logits, torch.zeros(1, 4))

    assert chosen.tolist() == [[1, 0, -1, -1]]


def test_ohem_fault_upstream_one_object_class_crashes() -> None:
    logits = torch.randn((2, 6, 2), generator=torch.Generator().manual_seed(0))

    chosen = OHEMSampler(3)(torch.full((2, 6), NOTHING), logits, torch.zeros(2, 6))

    assert (chosen == -1).all()


def test_ohem_refuses_bad_input() -> None:
    for arguments in ((0,), (-1.0,), (float("inf"),)):
        with pytest.raises(ValueError, match="ratio"):
            OHEMSampler(*arguments)
    with pytest.raises(ValueError, match="min_samples"):
        OHEMSampler(3, -1)
    with pytest.raises(ValueError, match="thresh"):
        OHEMSampler(3, thresh=-0.5)

    sampler, matches, ious = OHEMSampler(3), torch.full((1, 2), NOTHING), torch.zeros(1, 2)
    with pytest.raises(ValueError, match="NaN"):
        sampler(matches, logits_of(0, torch.nan), ious)
    for logits in (torch.zeros(1, 2), torch.zeros(1, 2, 1), torch.zeros(1, 3, 2)):
        with pytest.raises(ValueError, match=r"logits \[B, A, 1 \+ C\]"):
            sampler(matches, logits, ious)
    with pytest.raises(ValueError, match=r"ious \[B, A\]"):
        sampler(matches, logits_of(0, 0), torch.zeros(1, 3))


def test_ratio_takes_all_positives_and_the_hardest_negatives() -> None:
    labels = [torch.tensor([2, 0, 0, -1, 0, 0]), torch.tensor([0, 0, 0])]
    probs = torch.tensor([0.1, 0.4, 0.3, 0.9, 0.4, 0.2, 0.5, 0.7, 0.6])

    positive, negative = RatioSampler(2, min_negatives=1)(labels, probs)

    assert [p.tolist() for p in positive] == [[True] + [False] * 5, [False] * 3]
    assert negative[0].tolist() == [False, True, False, False, True, False]
    assert negative[1].tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("num_positive", "min_negatives", "expected"),
    [(0, None, 64), (1, None, 3), (40, None, 100), (0, 0, 0), (0, 20, 20), (1, 20, 20)],
)
def test_ratio_has_a_minimum_of_negatives(
    num_positive: int, min_negatives: int | None, expected: int
) -> None:
    labels = torch.tensor([1] * num_positive + [0] * 100)

    _, (negative,) = RatioSampler(3, min_negatives)([labels], torch.zeros(len(labels)))

    assert int(negative.sum()) == expected


def test_ratio_fault_upstream_torchvisions_ssd_learns_nothing_from_an_empty_image() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((1, 100, 3), generator=generator, requires_grad=True)
    no_object = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    upstream = SimpleNamespace(neg_to_pos_ratio=3, box_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)))

    losses = SSD.compute_loss(
        upstream,
        [no_object],
        {"bbox_regression": torch.zeros(1, 100, 4), "cls_logits": logits},
        [torch.rand((100, 4), generator=generator)],
        [torch.full((100,), NOTHING)],
    )
    (theirs,) = torch.autograd.grad(losses["classification"], logits)
    labels = [torch.zeros(100, dtype=torch.int64)]
    _, (negative,) = RatioSampler(3)(labels, logits[0].softmax(-1)[:, 1:].amax(-1))
    ours_loss = functional.cross_entropy(logits[0][negative], labels[0][negative])
    (ours,) = torch.autograd.grad(ours_loss, logits)

    assert float(losses["classification"].detach()) == 0
    assert not theirs.any()
    assert int(ours[0].any(dim=1).sum()) == 64


def test_ratio_refuses_bad_input() -> None:
    with pytest.raises(ValueError, match="neg_pos_ratio"):
        RatioSampler(0)
    with pytest.raises(ValueError, match="min_negatives"):
        RatioSampler(3, -1)
    with pytest.raises(ValueError, match="NaN"):
        RatioSampler(3)([torch.tensor([0])], torch.tensor([torch.nan]))
    with pytest.raises(ValueError, match="1 anchors need"):
        RatioSampler(3)([torch.tensor([0])], torch.zeros(2))
