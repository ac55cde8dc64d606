"""Losses equal torchvision's for images with objects; images without do not drown them."""

import math

import pytest
import torch
from torch import Tensor

from models.detectors.fcos import centerness, match_points
from models.losses.focal import focal_loss_of_anchors
from models.losses.sampled import sampled_binary_cross_entropy
from models.sampling import RatioSampler
from tests.models.conftest import build_small, draw_images

OBJECTS = {
    "boxes": torch.tensor([[10.0, 12.0, 70.0, 90.0], [64.0, 20.0, 120.0, 118.0]]),
    "labels": torch.tensor([1, 1]),
}
EMPTY = {"boxes": torch.zeros((0, 4)), "labels": torch.zeros(0, dtype=torch.int64)}


def _floats(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: loss.item() for name, loss in losses.items()}


@pytest.mark.parametrize(
    "architecture",
    [
        "ssdlite320_mobilenet_v3_large",
        "ssd_small",
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        pytest.param("retinanet_resnet50_fpn_v2", marks=pytest.mark.slow),
        pytest.param("fcos_resnet50_fpn", marks=pytest.mark.slow),
    ],
)
def test_images_with_objects_have_the_losses_of_torchvision(architecture: str) -> None:
    detector = build_small(
        architecture, ("cat",)
    ).train()  # one class: torchvision's hardness is ours
    if architecture.startswith("ssd"):
        detector.sampler = RatioSampler(3, min_negatives=0)
    height, width = detector.spec.input_size  # no resizing, and so no rounding
    [image] = draw_images([(height, width)])
    images, targets = [image] * 2, [OBJECTS] * 2

    torch.manual_seed(4)
    losses = _floats(detector(images, targets))

    torch.manual_seed(4)
    expected = _floats(detector.network([i / 255 for i in images], targets))
    assert losses == pytest.approx(expected, rel=1e-3)


def test_ssd_averages_positives_and_negatives_apart() -> None:
    detector = build_small("ssd_small")
    image, other = draw_images([(160, 160)] * 2)

    one = _floats(detector.eval()([image], [OBJECTS]))
    detector.negative_weight = 0
    alone = _floats(detector([image], [OBJECTS]))
    in_company = _floats(detector([image, other, other], [OBJECTS, EMPTY, EMPTY]))

    assert one["classification"] > alone["classification"]
    assert in_company == pytest.approx(alone, rel=1e-4)


def test_the_loss_of_a_nan_network_is_not_finite() -> None:
    detector = build_small("ssd_small").train()
    for parameter in detector.network.parameters():
        parameter.data.fill_(math.nan)

    losses = detector(draw_images([(160, 160)] * 2), [OBJECTS, EMPTY])

    assert not math.isfinite(losses["classification"].item())


def test_focal_loss_by_hand() -> None:
    logits = torch.zeros((1, 4, 2))
    labels = torch.tensor([[1, 0, -1, 0]])

    loss = focal_loss_of_anchors(logits, labels, negative_weight=0.5)

    # p = 1/2 everywhere: (1 - p)^2 * ln 2 is a quarter of ln 2, times alpha 1/4 for the one
    # positive entry and 3/4 for each negative one
    positive, negative = 0.25 * 0.25 * math.log(2), 0.75 * 0.25 * math.log(2)
    expected = (positive + negative) + 0.5 * 2 * (2 * negative)
    assert loss.item() == pytest.approx(expected)


def test_focal_loss_counts_an_image_without_objects_once() -> None:
    logits = torch.zeros((2, 3, 2))
    labels = torch.tensor([[1, 1, 1], [0, 0, 0]])

    both = focal_loss_of_anchors(logits, labels, negative_weight=1.0)
    empty = focal_loss_of_anchors(logits[1:], labels[1:], negative_weight=1.0)

    positives = focal_loss_of_anchors(logits, labels, negative_weight=0.0)
    assert (both - positives).item() == pytest.approx(empty.item() / 3)


def test_sampled_loss_by_hand() -> None:
    logits = torch.tensor([[[-100.0, 0.0], [-100.0, 0.0], [-100.0, 5.0]]])
    labels = torch.tensor([[1, 0, 0]])
    masks = torch.tensor([[True, False, False]]), torch.tensor([[False, True, False]])

    loss = sampled_binary_cross_entropy(logits, labels, *masks, negative_weight=3.0)

    assert loss.item() == pytest.approx(math.log(2) + 3 * math.log(2))


def test_points_match_the_smallest_box_of_their_level() -> None:
    points = [(12.0, 12.0, 8.0), (28.0, 28.0, 8.0), (100.0, 100.0, 32.0)]  # with their strides
    anchors = torch.tensor([[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for x, y, s in points])
    boxes = torch.tensor([[0.0, 0.0, 28.0, 28.0], [4.0, 4.0, 24.0, 24.0], [0.0, 0.0, 240.0, 240.0]])

    matched = match_points(anchors, boxes, level_sizes=[2, 1], center_radius=1.5)

    # the first lies in both small boxes; the second in none of them, and is far from the centre
    # of the third; the third point's level has no upper bound
    assert matched.tolist() == [1, -1, 2]
    assert match_points(anchors, boxes[:0], [2, 1], 1.5).tolist() == [-1, -1, -1]


def test_centerness_by_hand() -> None:
    anchors = torch.tensor([[4.0, 4.0, 6.0, 6.0], [1.0, 4.0, 3.0, 6.0]])
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0]] * 2)

    torch.testing.assert_close(centerness(anchors, boxes), torch.tensor([1.0, (2 / 8) ** 0.5]))
