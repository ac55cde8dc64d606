from pathlib import Path

import numpy as np

from service.demo.data import LOOK_ALIKES, OBJECTS, labelled_scenes, save_pool
from service.demo.scenes import LABELLED_PHOTOGRAPHS, POOL_PHOTOGRAPHS, SCENE_SIDE, SceneMaker


def test_a_box_is_around_what_was_drawn() -> None:
    maker = SceneMaker(LABELLED_PHOTOGRAPHS, even_samples=True)

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
    maker = SceneMaker(LABELLED_PHOTOGRAPHS, even_samples=True)

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


def test_labelled_scenes_are_the_same_each_time_and_have_their_objects() -> None:
    scenes = labelled_scenes(seed=5, num_train=6, num_val=3)
    again = labelled_scenes(seed=5, num_train=6, num_val=3)
    others = labelled_scenes(seed=6, num_train=6, num_val=3)

    assert (len(scenes.train), len(scenes.val)) == (6, 3)
    assert [image.read() for image in scenes.train] == [image.read() for image in again.train]
    assert scenes.train[0].read() != others.train[0].read()
    for image in (*scenes.train, *scenes.val):
        assert 1 <= len(image.truth) <= 2
        assert set(image.truth.labels.tolist()) <= {1, 2}
        assert image.truth.boxes.min() >= 0
        assert image.truth.boxes.max() <= SCENE_SIDE


def test_the_pool_has_look_alikes_and_plain_photographs_but_no_object(tmp_path: Path) -> None:
    save_pool(tmp_path, seed=0, size=30)

    names = sorted(path.name for path in tmp_path.iterdir())
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


def test_the_pool_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("first", "second"):
        save_pool(tmp_path / name, seed=0, size=4)

    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("first", "second")
    )
    assert first == second


def test_no_photograph_is_both_trained_on_and_mined() -> None:
    assert not set(LABELLED_PHOTOGRAPHS) & set(POOL_PHOTOGRAPHS)
