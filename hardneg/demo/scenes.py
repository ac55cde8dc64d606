"""Photographs with handwritten digits in them, both from installed packages."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

SCENE_SIDE = 160  # pixels
DIGIT_SIDES = (28, 64)  # pixels, of the drawn 8 × 8 glyph with its margin
PHOTOGRAPH_SHARES = (0.35, 1.0)  # a scene's side over the photograph's shorter side
JPEG_QUALITY = 92
INK = 0.25  # a pixel belongs to a digit from this opacity on
PLACE_ATTEMPTS = 30

# From the wheels of scikit-learn and scikit-image. The two lists share no photograph: a background
# that the detector was trained on must not be in the pool.
LABELLED_PHOTOGRAPHS = (
    ("sklearn.datasets.images", "china.jpg"),
    ("skimage.data", "brick.png"),
    ("skimage.data", "camera.png"),
    ("skimage.data", "coffee.png"),
    ("skimage.data", "gravel.png"),
    ("skimage.data", "rocket.jpg"),
)
POOL_PHOTOGRAPHS = (
    ("sklearn.datasets.images", "flower.jpg"),
    ("skimage.data", "astronaut.png"),
    ("skimage.data", "chelsea.png"),
    ("skimage.data", "coins.png"),
    ("skimage.data", "grass.png"),
    ("skimage.data", "motorcycle_left.png"),
)

# Samples of handwriting, so that no digit is drawn by the same hand twice.
LABELLED_HANDWRITING = slice(0, None, 2)
POOL_HANDWRITING = slice(1, None, 4)
SEALED_HANDWRITING = slice(3, None, 4)

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PlacedDigit:
    """A digit 0 to 9 and its box, xyxy in pixels of the scene."""

    digit: int
    box: Box


@dataclass(frozen=True, slots=True)
class Scene:
    """Pixels uint8 [160, 160, 3], RGB, and the digits in them."""

    pixels: Pixels
    digits: tuple[PlacedDigit, ...]

    def jpeg(self) -> bytes:
        content = BytesIO()
        Image.fromarray(self.pixels).save(content, "JPEG", quality=JPEG_QUALITY)
        return content.getvalue()


class SceneMaker:
    """Draws scenes from some photographs and some people's handwriting; one seed, one scene."""

    def __init__(self, photographs: Sequence[tuple[str, str]], handwriting: slice) -> None:
        """
        Args:
            photographs: package and file name of each.
            handwriting: which of the samples to write with.
        """
        self._photographs = [read_photograph(*place) for place in photographs]
        samples = load_digits()
        self._glyphs: NDArray[np.float64] = samples.images[handwriting] / 16
        self._targets: NDArray[np.int64] = samples.target[handwriting]

    def scene(self, seed: Sequence[int], digits: Sequence[int], max_digits: int) -> Scene:
        """Draw 1 to `max_digits` of these digits on a crop of a photograph, or none if it is 0."""
        random = np.random.default_rng(seed)
        canvas = self._background(random).astype(np.float64)
        placed: list[PlacedDigit] = []
        for _ in range(int(random.integers(1, max_digits + 1)) if max_digits else 0):
            digit = int(random.choice(digits))
            box = self._draw(canvas, random, digit, [other.box for other in placed])
            if box is not None:
                placed.append(PlacedDigit(digit, box))
        return Scene(canvas.round().clip(0, 255).astype(np.uint8), tuple(placed))

    def _background(self, random: np.random.Generator) -> Pixels:
        photograph = self._photographs[int(random.integers(len(self._photographs)))]
        side = int(min(photograph.size) * random.uniform(*PHOTOGRAPH_SHARES))
        left = int(random.integers(photograph.width - side + 1))
        top = int(random.integers(photograph.height - side + 1))
        crop = photograph.resize(
            (SCENE_SIDE, SCENE_SIDE),
            Image.Resampling.BILINEAR,
            (left, top, left + side, top + side),
        )
        return np.asarray(crop)

    def _draw(
        self,
        canvas: NDArray[np.float64],
        random: np.random.Generator,
        digit: int,
        taken: Sequence[Box],
    ) -> Box | None:
        """Draw a digit where no other one is, and return its box; None if there is no room."""
        glyph = self._glyphs[random.choice(np.flatnonzero(self._targets == digit))]
        side = int(random.integers(DIGIT_SIDES[0], DIGIT_SIDES[1] + 1))
        opacity = _enlarge(glyph, side)
        rows, columns = np.nonzero(opacity >= INK)
        for _ in range(PLACE_ATTEMPTS):
            left, top = (int(at) for at in random.integers(SCENE_SIDE - side + 1, size=2))
            box = (
                float(left + columns.min()),
                float(top + rows.min()),
                float(left + columns.max() + 1),
                float(top + rows.max() + 1),
            )
            if not any(_overlap(box, other) for other in taken):
                patch = canvas[top : top + side, left : left + side]
                patch += opacity[..., None] * (_ink(random, patch) - patch)
                return box
        return None


def read_photograph(package: str, name: str) -> Image.Image:
    return Image.open(BytesIO((files(package) / name).read_bytes())).convert("RGB")


def _enlarge(glyph: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    image = Image.fromarray(glyph.astype(np.float32))
    enlarged = image.resize((side, side), Image.Resampling.BICUBIC)
    opacity: NDArray[np.float64] = np.asarray(enlarged, dtype=np.float64)
    return opacity.clip(0, 1)


def _ink(random: np.random.Generator, patch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw a colour whose contrast to the patch lies between faint and full."""
    background = patch.mean()
    full = 255.0 if background < 128 else 0.0
    grey = background + random.uniform(0.45, 1) * (full - background)
    colour: NDArray[np.float64] = grey + random.uniform(-40, 40, size=3)
    return colour.clip(0, 255)


def _overlap(box: Box, other: Box) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
