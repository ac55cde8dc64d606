"""Ignored boxes keep the anchors on them out of the loss, and background boxes bring some back."""

import pytest
import torch
from torch import Tensor

from models.data.augmentation import Augment, Augmentation
from models.data.datasets import Sample
from models.data.ground_truth import BACKGROUND, IGNORED, GroundTruth
from models.detectors import Detector
from models.losses.ignored import ignore_anchors
from tests.models.conftest import build_small, draw_images

NO_BOXES = torch.zeros(0, 4)
ARCHITECTURES = [
    "ssd_small",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    pytest.param("retinanet_resnet50_fpn_v2", marks=pytest.mark.slow),
    pytest.param("fcos_resnet50_fpn", marks=pytest.mark.slow),
]


def test_anchors_on_an_ignored_box_are_ignored_and_the_others_keep_their_label() -> None:
    anchors = torch.tensor(
        [
            [10.0, 10.0, 30.0, 30.0],  # the box itself
            [18.0, 18.0, 20.0, 20.0],  # a part of it
            [22.0, 10.0, 42.0, 30.0],  # beside its middle: IoU 0.25
            [29.0, 10.0, 49.0, 30.0],  # IoU 0.03
            [60.0, 60.0, 80.0, 80.0],  # elsewhere
            [10.0, 10.0, 30.0, 31.0],  # on it, but matched to an object
        ]
    )
    labels = torch.tensor([0, 0, 0, 0, 0, 2])

    kept = ignore_anchors(labels, anchors, torch.tensor([[10.0, 10.0, 30.0, 30.0]]), NO_BOXES)

    assert kept.tolist() == [-1, -1, -1, 0, 0, 2]


def test_background_box_within_an_ignored_one_keeps_its_anchors() -> None:
    anchors = torch.tensor([[0.0, 0.0, 100.0, 100.0], [40.0, 40.0, 52.0, 52.0]])
    ignored = torch.tensor([[0.0, 0.0, 100.0, 100.0]])
    background = torch.tensor([[40.0, 40.0, 50.0, 50.0]])

    kept = ignore_anchors(torch.zeros(2, dtype=torch.int64), anchors, ignored, background)

    assert kept.tolist() == [-1, 0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_image_under_an_ignored_box_has_zero_gradient(architecture: str) -> None:
    detector, image, whole = _detector_and_image(architecture)

    ignored = _gradient_norm(detector, image, whole, [IGNORED])
    negative = _gradient_norm(detector, image, NO_BOXES, [])

    assert ignored == 0
    assert negative > 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_background_box_on_an_ignored_image_teaches(architecture: str) -> None:
    detector, image, whole = _detector_and_image(architecture)
    width, height = whole[0, 2].item(), whole[0, 3].item()
    middle = torch.tensor([[0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height]])

    norm = _gradient_norm(detector, image, torch.cat([whole, middle]), [IGNORED, BACKGROUND])

    assert norm > 0


def test_windows_of_training_views_need_not_keep_an_ignored_box() -> None:
    corner = GroundTruth(torch.tensor([[0.0, 0.0, 20.0, 20.0]]), torch.tensor([IGNORED]))
    augment = Augment(Augmentation(crop_probability=1, zoom_out_probability=0))
    generator = torch.Generator().manual_seed(0)

    views = [augment(Sample(draw_images([(100, 100)])[0], corner), generator) for _ in range(20)]

    counts = {len(view.truth) for view in views}
    assert counts == {0, 1}
    assert all(view.truth.labels.tolist() in ([], [IGNORED]) for view in views)


def _detector_and_image(architecture: str) -> tuple[Detector, Tensor, Tensor]:
    """Return a detector, an image of the network's own size, and the box of the whole image."""
    detector = build_small(architecture)
    [image] = draw_images([detector.spec.input_size])
    height, width = image.shape[-2:]
    return detector, image, torch.tensor([[0.0, 0.0, width, height]])


def _gradient_norm(detector: Detector, image: Tensor, boxes: Tensor, labels: list[int]) -> float:
    torch.manual_seed(0)
    detector.zero_grad()
    target = {"boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64)}
    losses = detector([image], [target])
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    norms = [p.grad.norm() for p in detector.parameters() if p.grad is not None]
    norm: float = torch.stack(norms).norm().item()
    return norm
