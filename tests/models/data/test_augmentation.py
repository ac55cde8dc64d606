import pytest
import torch
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat, Image

from models.data.augmentation import NO_AUGMENTATION, Augment, Augmentation, visible_shares
from models.data.datasets import Sample
from models.data.ground_truth import GroundTruth

GREY, WHITE = 90, 250


def sample_with_bright_object(box: tuple[int, int, int, int] = (20, 10, 44, 34)) -> Sample:
    image = torch.full((3, 60, 80), GREY, dtype=torch.uint8)
    left, top, right, bottom = box
    image[:, top:bottom, left:right] = WHITE
    return Sample(image, GroundTruth(torch.tensor([box]).float(), torch.tensor([1])))


def views(sample: Sample, augmentation: Augmentation, count: int = 60) -> list[Sample]:
    augment, generator = Augment(augmentation), torch.Generator().manual_seed(0)
    return [augment(sample, generator) for _ in range(count)]


def test_boxes_stay_on_their_object_in_every_view() -> None:
    geometry = Augmentation(brightness=0, contrast=0, saturation=0, hue=0)

    for view in views(sample_with_bright_object(), geometry):
        (box,) = view.truth.boxes.round().int().tolist()
        left, top, right, bottom = box
        inside = view.image[:, top:bottom, left:right]
        assert bool((inside == WHITE).all())
        assert int((view.image == WHITE).sum()) == inside.numel()
        assert view.truth.labels.tolist() == [1]


def test_views_differ_in_size_side_and_light() -> None:
    sample = sample_with_bright_object()

    drawn = views(sample, Augmentation())

    assert len({tuple(view.image.shape) for view in drawn}) > 10
    assert len({int(view.image.max()) for view in drawn}) > 3
    assert all(view.image.dtype == torch.uint8 for view in drawn)
    assert bool((sample.image == sample_with_bright_object().image).all())


def test_a_crop_keeps_a_fair_share_of_every_object_or_none() -> None:
    always_crop = Augmentation(crop_probability=1, zoom_out_probability=0, flip_probability=0)
    sample = sample_with_bright_object()

    for view in views(sample, always_crop):
        size = view.truth.boxes[:, 2:] - view.truth.boxes[:, :2]
        assert float(size.prod(dim=1)) >= 0.4 * 24 * 24 - 1


def test_negatives_are_augmented_like_labelled_images() -> None:
    image = torch.full((3, 60, 80), GREY, dtype=torch.uint8)

    drawn = views(Sample(image, GroundTruth.empty()), Augmentation())

    assert len({tuple(view.image.shape) for view in drawn}) > 10
    assert all(view.truth.boxes.shape == (0, 4) for view in drawn)


def test_the_same_seed_gives_the_same_view() -> None:
    sample = sample_with_bright_object()

    first, second = views(sample, Augmentation(), 5), views(sample, Augmentation(), 5)

    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.truth.boxes, other.truth.boxes)


def test_draws_are_those_of_torchvisions_transforms() -> None:
    sample, limits = sample_with_bright_object(), Augmentation(crop_probability=0)
    augment = Augment(limits)
    flip = v2.RandomHorizontalFlip(limits.flip_probability)
    zoom_out = v2.RandomZoomOut(127, (1.0, limits.max_zoom_out), limits.zoom_out_probability)
    color = v2.ColorJitter(limits.brightness, limits.contrast, limits.saturation, limits.hue)
    boxes = BoundingBoxes(sample.truth.boxes, format=BoundingBoxFormat.XYXY, canvas_size=(60, 80))

    for seed in range(20):
        view = augment(sample, torch.Generator().manual_seed(seed))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            torch.rand(1)  # whether to crop
            image, moved = zoom_out(*flip(Image(sample.image), boxes))
            assert torch.equal(view.image, color(image))
        assert torch.equal(view.truth.boxes, moved)


def test_no_augmentation_changes_nothing() -> None:
    sample = sample_with_bright_object()

    for view in views(sample, NO_AUGMENTATION, 5):
        assert torch.equal(view.image, sample.image)
        assert torch.equal(view.truth.boxes, sample.truth.boxes)


def test_boxes_thinner_than_two_pixels_are_dropped() -> None:
    sample = sample_with_bright_object((20, 10, 21, 34))

    (view,) = views(sample, NO_AUGMENTATION, 1)

    assert len(view.truth) == 0


def test_visible_share_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [5.0, 5.0, 15.0, 15.0], [20.0, 0.0, 30.0, 10.0]])

    shares = visible_shares(boxes, (0, 0, 10, 10))

    assert shares.tolist() == pytest.approx([1, 0.25, 0])
