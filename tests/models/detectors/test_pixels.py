"""Inputs of a network: pixels and boxes are resized in one way, impossible ones are refused."""

import io

import pytest
import torch
from PIL import Image
from torch import Tensor

from models.data.images import decode
from models.detectors import Detector, build
from models.inference.predict import prepare
from tests.models.conftest import build_small, draw_images


@pytest.fixture(scope="module")
def small() -> Detector:
    return build("ssd_small", ["cat"])


@pytest.fixture(scope="module")
def pyramid() -> Detector:
    return build_small("fasterrcnn_mobilenet_v3_large_320_fpn")


def _target(box: list[float], label: int = 1) -> dict[str, Tensor]:
    return {"boxes": torch.tensor([box]), "labels": torch.tensor([label])}


def test_training_and_scoring_see_the_same_pixels(small: Detector) -> None:
    [image] = draw_images([(90, 120)])

    from_bytes = small.preprocess(image)
    from_floats = small.preprocess(image / 255)

    assert from_bytes.pixels.dtype == torch.uint8
    assert from_bytes.pixels.shape == (3, 160, 160)
    assert from_bytes.original_size == (90, 120)
    assert torch.equal(from_bytes.pixels, from_floats.pixels)


def test_our_own_architectures_shrink_without_aliasing(small: Detector) -> None:
    stripes = torch.zeros((3, 1600, 1600), dtype=torch.uint8)
    stripes[..., ::2] = 255

    pixels = small.preprocess(stripes).pixels

    assert pixels.float().std() < 2
    assert pixels.float().mean() == pytest.approx(127.5, abs=2)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_photograph_decoded_smaller_looks_the_same(
    small: Detector, pyramid: Detector, file_format: str, orientation: int
) -> None:
    [coarse] = draw_images([(1800, 2400)])
    noise = torch.randint(-60, 60, coarse.shape, generator=torch.Generator().manual_seed(1))
    photograph = (coarse.int() + noise).clamp(0, 255).to(torch.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(photograph.permute(1, 2, 0).numpy()).save(
        out, file_format, exif=exif, quality=90
    )
    whole = decode(out.getvalue())

    for detector in (small, pyramid):
        prepared = prepare(detector, out.getvalue())

        assert prepared.original_size == tuple(whole.shape[1:])
        exact = torch.nn.functional.interpolate(
            whole[None].float(), prepared.pixels.shape[1:], mode="bilinear", antialias=True
        )
        assert (prepared.pixels.float() - exact[0]).abs().mean() <= 1.5


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((128, 128), (128, 128)),
        ((64, 80), (128, 160)),
        ((100, 300), (64, 192)),
        ((300, 100), (192, 64)),
        ((1, 4800), (1, 192)),
        ((4800, 1), (192, 1)),
    ],
)
def test_aspect_is_kept_within_both_limits(
    pyramid: Detector, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    prepared = pyramid.preprocess(torch.zeros((3, *size), dtype=torch.uint8))

    assert prepared.pixels.shape[1:] == expected
    assert pyramid.padded_size(prepared) == tuple(-(-side // 32) * 32 for side in expected)


def test_padding_is_zero_after_normalising(pyramid: Detector) -> None:
    images = [pyramid.preprocess(image) for image in draw_images([(128, 128), (128, 192)])]

    batch = pyramid.collate(images)

    assert batch.tensors.shape == (2, 3, 128, 192)
    assert batch.image_sizes == [(128, 128), (128, 192)]
    assert batch.tensors[0, :, :, 128:].abs().max() == 0
    assert batch.tensors[1, :, :, 128:].abs().max() > 0


def test_boxes_are_scaled_with_their_image(small: Detector) -> None:
    prepared = small.preprocess(torch.zeros((3, 80, 320), dtype=torch.uint8))

    losses = small([prepared], [_target([0, 0, 320, 80])])

    whole = small([torch.zeros((3, 160, 160), dtype=torch.uint8)], [_target([0, 0, 160, 160])])
    torch.testing.assert_close(losses, whole)


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros((80, 80), dtype=torch.uint8),
        torch.zeros((1, 80, 80), dtype=torch.uint8),
        torch.zeros((3, 0, 80), dtype=torch.uint8),
        torch.zeros((3, 80, 80), dtype=torch.int64),
    ],
)
def test_tensors_that_are_no_images_are_refused(small: Detector, image: Tensor) -> None:
    with pytest.raises(ValueError, match=r"shape \[3, H, W\]|must be uint8"):
        small.preprocess(image)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (_target([10, 10, 10, 20]), "width and a height above zero"),
        (_target([10, 10, 20, 20], label=-2), "labels must be -1 to 1"),
        (_target([10, 10, 20, 20], label=2), "labels must be -1 to 1"),
        ({"boxes": torch.zeros(4), "labels": torch.ones(1).long()}, "must be"),
        ({"boxes": torch.zeros((2, 4)), "labels": torch.ones(1).long()}, "must be"),
    ],
)
def test_impossible_targets_are_refused(
    small: Detector, target: dict[str, Tensor], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        small([torch.zeros((3, 80, 80))], [target])


def test_every_image_needs_a_target(small: Detector) -> None:
    with pytest.raises(ValueError, match="1 images, but 0 targets"):
        small([torch.zeros((3, 80, 80))], [])
