"""The SSD loss and its matching, on cases small enough to compute by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.models.detection._utils import SSDMatcher
from torchvision.ops import box_convert, box_iou

from models.losses import SSDLoss, match_default_boxes
from models.losses.matching import best_objects
from models.losses.ssd import smooth_l1_of_offsets

GRID = torch.tensor(
    [[0.25, 0.25, 0.5, 0.5], [0.75, 0.25, 0.5, 0.5], [0.25, 0.75, 0.5, 0.5], [0.75, 0.75, 0.5, 0.5]]
)
NO_TARGETS = torch.zeros(0, 6)
LN2 = math.log(2)


def zero_predictions(num_images: int) -> tuple[Tensor, Tensor]:
    """Return offsets 0 and two classes of probability 1/2: each cross entropy is log 2."""
    return torch.zeros(num_images, 4, 4), torch.zeros(num_images, 2, 4)


def shifted_target(image: int) -> list[float]:
    """Return a target of default box 0 with offsets (1, 0, 2, 0), smooth L1 0.5 + 1.5."""
    return [image, 0, 0.3, 0.25, 0.5 * math.exp(0.4), 0.5]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
def test_golden_case(alpha: float) -> None:
    targets = torch.tensor([shifted_target(0)])

    loss, parts = SSDLoss(GRID, alpha=alpha)(zero_predictions(1), targets)

    assert float(loss) == pytest.approx((2 - alpha) * 2 + alpha * 4 * LN2)
    assert parts.tolist() == pytest.approx([2, 4 * LN2, float(loss)])


def test_each_image_is_divided_by_its_positives_then_averaged() -> None:
    exact = [1, 0, *GRID[1].tolist()], [1, 0, *GRID[2].tolist()]
    targets = torch.tensor([shifted_target(0), *exact])

    loss, parts = SSDLoss(GRID, neg_pos_ratio=1)(zero_predictions(2), targets)

    first, second = 2 + 2 * LN2, 4 * LN2 / 2
    assert float(loss) == pytest.approx((first + second) / 2)
    assert parts.tolist() == pytest.approx([1, 3 * LN2, float(loss)])


def test_gradients_reach_offsets_of_positives_and_logits_of_chosen_anchors() -> None:
    offsets, logits = (p.requires_grad_() for p in zero_predictions(1))

    loss, parts = SSDLoss(GRID, neg_pos_ratio=1)(
        (offsets, logits), torch.tensor([shifted_target(0)])
    )
    loss.backward()

    assert offsets.grad is not None
    assert logits.grad is not None
    assert not parts.requires_grad
    assert offsets.grad[0, :, 0].tolist() == pytest.approx([-1, 0, -1, 0])
    assert not offsets.grad[0, :, 1:].any()
    assert (logits.grad[0].abs().sum(dim=0) > 0).tolist() == [True, True, False, False]


def test_fault_upstream_images_without_objects_teach_nothing() -> None:
    offsets, logits = (p.requires_grad_() for p in zero_predictions(2))

    loss, _ = SSDLoss(GRID)((offsets, logits), NO_TARGETS)
    loss.backward()

    assert float(loss.detach()) == pytest.approx(3 * LN2)  # 4 negatives count as 4 / 3 positives
    assert logits.grad is not None
    assert logits.grad.any(dim=1).all()


def test_fault_upstream_images_without_objects_dilute_the_mean() -> None:
    targets = torch.tensor([shifted_target(0)])

    alone, _ = SSDLoss(GRID, min_negatives=0)(zero_predictions(1), targets)
    beside_empty, _ = SSDLoss(GRID, min_negatives=0)(zero_predictions(3), targets)

    assert float(beside_empty) == pytest.approx(float(alone))  # upstream: a third of it


def test_empty_images_teach_nothing_with_a_minimum_of_0_as_upstream() -> None:
    offsets, logits = (p.requires_grad_() for p in zero_predictions(2))

    loss, parts = SSDLoss(GRID, min_negatives=0)((offsets, logits), NO_TARGETS)
    loss.backward()

    assert parts.tolist() == [0, 0, 0]
    assert logits.grad is not None
    assert not logits.grad.any()


def test_fault_upstream_positives_are_counted_twice() -> None:
    targets = torch.tensor([[0, 0, *box.tolist()] for box in GRID[:3]])

    loss, _ = SSDLoss(GRID)(zero_predictions(1), targets)

    assert float(loss) == pytest.approx(4 * LN2 / 3)  # upstream adds the positives once more


def test_fault_upstream_one_of_two_objects_with_one_best_box_is_lost() -> None:
    boxes = torch.tensor([[0.3, 0.25, 0.5, 0.5], [0.25, 0.25, 0.5, 0.5], [0.26, 0.26, 0.5, 0.5]])

    matched = match_default_boxes(GRID, boxes, torch.tensor([1, 2, 3]))

    assert matched.labels.tolist() == [2, 1, 3, 0]
    assert matched.boxes[:3].equal(boxes[[1, 0, 2]])
    assert matched.boxes[3].equal(GRID[3])


def test_torchvisions_matcher_agrees_unless_objects_share_their_best_default_box() -> None:
    iou = 0.4 * torch.rand((3, 40), generator=torch.Generator().manual_seed(2))
    iou[:2, 0] = torch.tensor([0.8, 0.9])
    matcher = SSDMatcher(0.5)

    for objects, agrees in (([1, 2], True), ([0, 1, 2], False)):
        best_iou, best_object = best_objects(iou[objects])
        matched = torch.where(best_iou >= 0.5, best_object, -1)

        assert matched.equal(matcher(iou[objects])) is agrees
        assert set(matched.tolist()) >= set(range(len(objects)))


def test_a_default_box_above_the_threshold_is_positive_too() -> None:
    defaults = torch.tensor([[0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.4, 0.3], [0.5, 0.5, 0.4, 0.1]])

    for threshold, expected in ((0.5, [1, 1, 0]), (0.8, [1, 0, 0]), (0.2, [1, 1, 1])):
        matched = match_default_boxes(defaults, defaults[:1], torch.tensor([1]), threshold)

        assert matched.labels.tolist() == expected


def test_more_objects_than_default_boxes_fill_them_all() -> None:
    matched = match_default_boxes(GRID[:2], GRID, torch.tensor([1, 2, 3, 4]))

    assert matched.labels.tolist() == [1, 2]


def test_without_objects_every_default_box_is_background() -> None:
    matched = match_default_boxes(GRID, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))

    assert matched.labels.tolist() == [0, 0, 0, 0]
    assert matched.boxes.equal(GRID)


def matched_by_plain_loop(defaults: Tensor, boxes: Tensor, threshold: float) -> list[int]:
    """Return each default box's object, or -1, by taking the best remaining pair repeatedly."""
    iou = box_iou(box_convert(boxes, "cxcywh", "xyxy"), box_convert(defaults, "cxcywh", "xyxy"))
    objects = [
        int(column.argmax()) if column.max() > threshold else -1 for column in iou.unbind(dim=1)
    ]
    pairs = {(m, a): float(iou[m, a]) for m in range(len(boxes)) for a in range(len(defaults))}
    while pairs:
        m, a = max(pairs, key=lambda pair: pairs[pair])
        objects[a] = m
        pairs = {pair: value for pair, value in pairs.items() if pair[0] != m and pair[1] != a}
    return objects


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 8))
def test_matching_takes_the_best_remaining_pair(
    seed: int, num_objects: int, num_defaults: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes, defaults = (
        torch.cat(
            [
                torch.rand((n, 2), generator=generator),
                0.3 + torch.rand((n, 2), generator=generator),
            ],
            1,
        )
        for n in (num_objects, num_defaults)
    )

    matched = match_default_boxes(defaults, boxes, torch.arange(1, num_objects + 1), 0.4)

    assert (matched.labels - 1).tolist() == matched_by_plain_loop(defaults, boxes, 0.4)


def test_offsets_are_scaled_by_a_tenth_and_a_fifth() -> None:
    default_box = torch.tensor([[0.0, -2.0, 2.0, 6.0]])  # centre (1, 2), sides 2 and 8
    box = torch.tensor([[0.2, 0.0, 2.2, 4.0]])  # centre (1.2, 2), sides 2 and 4

    loss = smooth_l1_of_offsets(torch.zeros(1, 4), box, default_box)

    # offsets 1, 0, 0 and -5 log 2; smooth L1 is x / 2 * x up to 1, then x - 1 / 2
    assert loss[0].tolist() == pytest.approx([0.5, 0.0, 0.0, 5 * LN2 - 0.5])


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha"):
        SSDLoss(GRID, alpha=2.5)
    with pytest.raises(ValueError, match="iou_thresh"):
        SSDLoss(GRID, iou_thresh=-0.1)
    with pytest.raises(ValueError, match="neg_pos_ratio"):
        SSDLoss(GRID, neg_pos_ratio=0)
    with pytest.raises(ValueError, match="default_boxes"):
        SSDLoss(GRID.flatten())
    with pytest.raises(ValueError, match="width and a height above 0"):
        SSDLoss(0 * GRID)
    loss, target = SSDLoss(GRID), torch.tensor([shifted_target(0)])
    with pytest.raises(ValueError, match=r"offsets \[B, 4, 4\]"):
        loss((torch.zeros(1, 4, 3), torch.zeros(1, 2, 3)), target)
    with pytest.raises(ValueError, match=r"\[M, 6\]"):
        loss(zero_predictions(1), target[:, :5])
    for column in (0, 1):
        wrong = target.clone()
        wrong[0, column] = 1
        with pytest.raises(ValueError, match=rf"targets\[:, {column}\] must be 0 to 0"):
            loss(zero_predictions(1), wrong)
    with pytest.raises(ValueError, match="boxes must be finite"):
        match_default_boxes(GRID, 0 * GRID[:1], torch.tensor([1]))
    with pytest.raises(ValueError, match="labels must be"):
        match_default_boxes(GRID, GRID[:1], torch.tensor([0]))
