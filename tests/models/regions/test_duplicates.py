"""Near-duplicates on vectors that can be checked by hand."""

import numpy as np

from models.regions.duplicates import find_originals


def at_angles(degrees: np.ndarray) -> np.ndarray:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_first_image_of_near_ones_is_their_original() -> None:
    # 18 degrees are a cosine of .951, 19 degrees of .946
    assert find_originals(at_angles(np.array([0.0, 18, 90, 72, 19]))).tolist() == [0, 0, 2, 2, 4]


def test_chain_of_near_images_is_not_one_group() -> None:
    assert find_originals(at_angles(np.array([0.0, 15, 30, 45]))).tolist() == [0, 0, 2, 2]


def test_blocks_make_no_difference() -> None:
    angles = np.arange(1500) * 40 % 360 + np.arange(1500) % 3

    originals = find_originals(at_angles(angles.astype(float)))

    expected = [int(np.flatnonzero(angles // 40 == angle // 40)[0]) for angle in angles]
    assert originals.tolist() == expected
    assert find_originals(at_angles(np.zeros(0))).tolist() == []
