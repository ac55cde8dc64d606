from pathlib import Path

import numpy as np
import pytest

from hardneg.demo.data import LABELS, LOOK_ALIKES, OBJECTS, SceneCounts, SceneFolders, save_scenes
from hardneg.demo.scenes import (
    LABELLED_HANDWRITING,
    LABELLED_PHOTOGRAPHS,
    POOL_HANDWRITING,
    POOL_PHOTOGRAPHS,
    SCENE_SIDE,
    SEALED_HANDWRITING,
    SceneMaker,
)
from models.data.coco import read_coco_file

COUNTS = SceneCounts(train=6, val=3, pool=4, sealed=5)


def test_box_encloses_the_drawn_digit() -> None:
    maker = SceneMaker(LABELLED_PHOTOGRAPHS, LABELLED_HANDWRITING)

    scene = maker.scene((1, 2, 3), OBJECTS, max_digits=1)
    background = maker.scene((1, 2, 3), OBJECTS, max_digits=0)

    changed = np.abs(scene.pixels.astype(int) - background.pixels.astype(int)).max(axis=2)
    rows, columns = np.nonzero(changed > 0.3 * changed.max())
    (placed,) = scene.digits
    drawn = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert placed.digit in OBJECTS
    np.testing.assert_allclose(placed.box, drawn, atol=2)
    assert background.digits == ()


def test_digits_of_a_scene_do_not_overlap() -> None:
    maker = SceneMaker(LABELLED_PHOTOGRAPHS, LABELLED_HANDWRITING)

    scenes = [maker.scene((0, 0, index), OBJECTS, max_digits=2) for index in range(40)]

    pairs = [[digit.box for digit in scene.digits] for scene in scenes if len(scene.digits) == 2]
    assert len(pairs) > 5
    for first, second in pairs:
        assert (
            first[2] <= second[0]
            or second[2] <= first[0]
            or first[3] <= second[1]
            or second[3] <= first[1]
        )


def test_labelled_scenes_show_their_objects(tmp_path: Path) -> None:
    folders = save_scenes(tmp_path, 5, COUNTS)

    for folder, count in ((folders.train, 6), (folders.val, 3)):
        reading = read_coco_file(folder / LABELS)
        assert reading.issues == ()
        assert reading.class_names == ("3", "8")
        assert len(reading.images) == count
        for image in reading.images:
            assert 1 <= len(image.truth) <= 2
            assert image.truth.boxes.max() <= SCENE_SIDE


@pytest.mark.parametrize("name", ["pool", "sealed"])
def test_negatives_show_look_alikes_or_plain_photographs(tmp_path: Path, name: str) -> None:
    folders = save_scenes(tmp_path, 0, SceneCounts(train=0, val=0, pool=30, sealed=30))

    names = sorted(path.name for path in getattr(folders, name).iterdir())
    shown = [
        int(digit)
        for name in names
        if "digits" in name
        for digit in name.removesuffix(".jpg").split("-")[2:]
    ]
    assert len(names) == 30
    assert sum("no-digit" in name for name in names) == 10
    assert set(shown) <= set(LOOK_ALIKES)
    assert not set(OBJECTS) & set(LOOK_ALIKES)


def test_scenes_depend_on_the_seed_alone(tmp_path: Path) -> None:
    first, again, other = (
        _contents(save_scenes(tmp_path / name, seed, COUNTS))
        for name, seed in (("first", 5), ("again", 5), ("other", 6))
    )

    assert first == again
    assert not set(first) & set(other)
    assert len(set(first)) == len(first) == 6 + 3 + 4 + 5  # none is in two splits


def test_existing_folders_are_kept(tmp_path: Path) -> None:
    folders = save_scenes(tmp_path, 0, COUNTS)
    (folders.pool / "kept.txt").touch()

    assert save_scenes(tmp_path, 0, COUNTS) == folders
    assert (folders.pool / "kept.txt").exists()


def test_training_pool_and_sealed_scenes_share_no_source() -> None:
    assert not set(LABELLED_PHOTOGRAPHS) & set(POOL_PHOTOGRAPHS)
    parts = [
        set(range(1797)[part])
        for part in (LABELLED_HANDWRITING, POOL_HANDWRITING, SEALED_HANDWRITING)
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 1797


def _contents(folders: SceneFolders) -> list[bytes]:
    """Return the bytes of every image."""
    places = (folders.train, folders.val, folders.pool, folders.sealed)
    return [path.read_bytes() for place in places for path in sorted(place.glob("*.jpg"))]
