"""The demo's images and labels, saved as the files that are sent to the service."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hardneg.demo.scenes import (
    LABELLED_HANDWRITING,
    LABELLED_PHOTOGRAPHS,
    POOL_HANDWRITING,
    POOL_PHOTOGRAPHS,
    SCENE_SIDE,
    SEALED_HANDWRITING,
    Scene,
    SceneMaker,
)

OBJECTS = (3, 8)  # the digits to find; all others are look-alikes
LOOK_ALIKES = (0, 1, 2, 4, 5, 6, 7, 9)
CLASS_NAMES = tuple(str(digit) for digit in OBJECTS)
MAX_DIGITS = 2  # in one scene
PLAIN_EVERY = 3  # every third negative has no digit at all
LABELS = "labels.json"

TRAIN_STREAM, VAL_STREAM, POOL_STREAM, SEALED_STREAM = range(4)

Files = Iterator[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class SceneCounts:
    """The number of scenes of each kind."""

    train: int
    val: int
    pool: int
    sealed: int


@dataclass(frozen=True, slots=True)
class SceneFolders:
    """One folder of JPEGs for each kind; train and val hold COCO boxes in `labels.json`."""

    train: Path
    val: Path
    pool: Path
    sealed: Path


def save_scenes(folder: Path, seed: int, counts: SceneCounts) -> SceneFolders:
    """
    Save the scenes of a seed, always the same files; keep folders that exist already.

    Pool and sealed scenes show none of the digits to find. They use other photographs and other
    handwriting than the training scenes, and the sealed scenes use yet another handwriting. Their
    file names tell which digits are in each, for a person who judges the ranking.
    """
    labels = SceneMaker(LABELLED_PHOTOGRAPHS, LABELLED_HANDWRITING)
    pool = SceneMaker(POOL_PHOTOGRAPHS, POOL_HANDWRITING)
    sealed = SceneMaker(POOL_PHOTOGRAPHS, SEALED_HANDWRITING)

    def save(name: str, count: int, files: Callable[[], Files]) -> Path:
        return _save_whole(folder / f"{name}-seed-{seed}-of-{count}", files)

    def save_negatives(name: str, maker: SceneMaker, stream: int, count: int) -> Path:
        return save(name, count, lambda: _negatives(maker, seed, stream, count))

    return SceneFolders(
        save("train", counts.train, lambda: _labelled(labels, seed, TRAIN_STREAM, counts.train)),
        save("val", counts.val, lambda: _labelled(labels, seed, VAL_STREAM, counts.val)),
        save_negatives("pool", pool, POOL_STREAM, counts.pool),
        save_negatives("sealed", sealed, SEALED_STREAM, counts.sealed),
    )


def _save_whole(folder: Path, files: Callable[[], Files]) -> Path:
    """Save files in a folder that appears only when it is complete."""
    if not folder.exists():
        partial = folder.with_name(f".{folder.name}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in files():
            (partial / name).write_bytes(content)
        partial.rename(folder)
    return folder


def _labelled(maker: SceneMaker, seed: int, stream: int, count: int) -> Files:
    images, annotations = [], []
    for index in range(count):
        scene = maker.scene((seed, stream, index), OBJECTS, MAX_DIGITS)
        name = f"{index:04}.jpg"
        yield name, scene.jpeg()
        images.append({"id": index, "file_name": name, "width": SCENE_SIDE, "height": SCENE_SIDE})
        annotations += [
            {
                "image_id": index,
                "category_id": OBJECTS.index(placed.digit) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
            for placed in scene.digits
            for x1, y1, x2, y2 in [placed.box]
        ]
    coco = {
        "images": images,
        "annotations": [{"id": number, **box} for number, box in enumerate(annotations)],
        "categories": [{"id": label, "name": name} for label, name in enumerate(CLASS_NAMES, 1)],
    }
    yield LABELS, json.dumps(coco).encode()


def _negatives(maker: SceneMaker, seed: int, stream: int, count: int) -> Files:
    for index in range(count):
        max_digits = 0 if index % PLAIN_EVERY == PLAIN_EVERY - 1 else MAX_DIGITS
        scene = maker.scene((seed, stream, index), LOOK_ALIKES, max_digits)
        yield f"{index:04}-{_shown(scene)}.jpg", scene.jpeg()


def _shown(scene: Scene) -> str:
    digits = "-".join(str(placed.digit) for placed in scene.digits)
    return f"digits-{digits}" if digits else "no-digit"
