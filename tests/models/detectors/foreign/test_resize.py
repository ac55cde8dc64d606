import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.detectors.foreign.resize import resize_pixels

# What cv2.resize of OpenCV 5.0 makes of `picture()`: pixels rounded as usual would differ from it.
SMALLER = [[70, 119, 126, 89], [159, 155, 87, 211], [120, 159, 90, 139]]
LARGER = [
    [0, 59, 128, 141, 11, 80, 149, 133, 22],
    [49, 108, 127, 102, 59, 129, 136, 107, 70],
    [118, 166, 124, 59, 129, 186, 118, 81, 140],
    [187, 129, 104, 129, 198, 131, 116, 150, 209],
    [177, 119, 129, 181, 188, 120, 106, 139, 199],
    [86, 135, 198, 214, 97, 154, 86, 49, 108],
    [139, 103, 124, 168, 150, 108, 83, 102, 161],
    [188, 77, 60, 130, 199, 69, 81, 151, 210],
]


def picture() -> Tensor:
    """Pixels 0, 89, 178, 11, … of one channel, three times: uint8 [3, 5, 7]."""
    return (torch.arange(35).reshape(5, 7) * 89 % 256).to(torch.uint8).expand(3, 5, 7)


@pytest.mark.parametrize(("size", "expected"), [((3, 4), SMALLER), ((8, 9), LARGER)])
def test_pixels_are_those_of_opencv(size: tuple[int, int], expected: list[list[int]]) -> None:
    resized = resize_pixels(picture(), size, antialias=False)

    assert resized.tolist() == [expected] * 3


def test_filtered_pixels_are_those_of_pillow_but_for_rounding() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (3, 120, 170), generator=generator).to(torch.uint8)
    resized = resize_pixels(pixels, (40, 50), antialias=True)

    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    expected = np.asarray(image.resize((50, 40), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(resized.permute(1, 2, 0).numpy() - expected).max() <= 1


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("sides", [(1, 1), (1, 300), (300, 1), (37, 53)])
def test_even_colour_stays_even(sides: tuple[int, int], antialias: bool) -> None:
    grey = torch.full((3, *sides), 201, dtype=torch.uint8)

    assert resize_pixels(grey, (19, 23), antialias=antialias).eq(201).all()


def test_image_of_the_right_size_is_left_as_it_is() -> None:
    pixels = picture()

    assert resize_pixels(pixels, (5, 7), antialias=False) is pixels
