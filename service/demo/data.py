"""What the demo trains on, measures on and mines from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from models.datasets import LabelledImage
from models.matching import GroundTruth
from service.demo.scenes import LABELLED_PHOTOGRAPHS, POOL_PHOTOGRAPHS, Scene, SceneMaker

OBJECTS = (3, 8)  # the digits to be found; all others are look-alikes
LOOK_ALIKES = (0, 1, 2, 4, 5, 6, 7, 9)
CLASS_NAMES = tuple(str(digit) for digit in OBJECTS)
MAX_DIGITS = 2  # in one scene
PLAIN_EVERY = 3  # every third photograph of the pool has no digit at all

TRAIN_STREAM, VAL_STREAM, POOL_STREAM = range(3)


@dataclass(frozen=True, slots=True)
class LabelledScenes:
    """Scenes with the digits to be found, and boxes around them."""

    train: list[LabelledImage]
    val: list[LabelledImage]


def labelled_scenes(seed: int, num_train: int, num_val: int) -> LabelledScenes:
    """The same seed gives the same scenes."""
    maker = SceneMaker(LABELLED_PHOTOGRAPHS, even_samples=True)

    def make(stream: int, count: int) -> list[LabelledImage]:
        return [
            _labelled(f"{stream}/{index}", maker.scene((seed, stream, index), OBJECTS, MAX_DIGITS))
            for index in range(count)
        ]

    return LabelledScenes(make(TRAIN_STREAM, num_train), make(VAL_STREAM, num_val))


def save_pool(folder: Path, seed: int, size: int) -> None:
    """
    Photographs without any digit to be found, as JPEG files; what is there already stays.

    Other photographs than those to train on, and other handwriting. The file names tell which
    digits are in each, so that a person can judge the ranking.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _pool_files(seed, size):
        path = folder / name
        if not path.exists():
            partial = path.with_suffix(".partial")
            partial.write_bytes(content)
            partial.rename(path)


def _pool_files(seed: int, size: int) -> Iterator[tuple[str, bytes]]:
    maker = SceneMaker(POOL_PHOTOGRAPHS, even_samples=False)
    for index in range(size):
        max_digits = 0 if index % PLAIN_EVERY == PLAIN_EVERY - 1 else MAX_DIGITS
        scene = maker.scene((seed, POOL_STREAM, index), LOOK_ALIKES, max_digits)
        shown = "-".join(str(placed.digit) for placed in scene.digits)
        yield f"{index:04}-{f'digits-{shown}' if shown else 'no-digit'}.jpg", scene.jpeg()


def _labelled(name: str, scene: Scene) -> LabelledImage:
    truth = GroundTruth(
        torch.tensor([placed.box for placed in scene.digits], dtype=torch.float32).reshape(-1, 4),
        torch.tensor(
            [OBJECTS.index(placed.digit) + 1 for placed in scene.digits], dtype=torch.int64
        ),
    )
    content = scene.jpeg()
    return LabelledImage(name, lambda: content, truth)
