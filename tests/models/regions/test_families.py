"""Families on vectors that can be checked by hand."""

import numpy as np
import pytest

from models.regions.families import MAX_GROUPED, group
from models.regions.places import find_families, lay_out


def at_angles(*degrees: float) -> np.ndarray:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_families_are_numbered_by_their_first_members() -> None:
    families = group(at_angles(90, 0, 5, 95, 180))

    assert families.tolist() == [0, 1, 1, 0, 2]


def test_mean_distance_decides_not_the_nearest_members() -> None:
    # 60 degrees are a cosine of .5: beyond the cut. The chain 0, 40, 80 does not hold together.
    assert group(at_angles(0, 60)).tolist() == [0, 1]
    assert len(set(group(at_angles(0, 40, 80, 120)).tolist())) == 2


@pytest.mark.parametrize("count", [0, 1])
def test_few_vectors_need_no_grouping(count: int) -> None:
    assert group(at_angles(0)[:count]).tolist() == [0] * count


def test_too_many_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 5000"):
        group(np.zeros((MAX_GROUPED + 1, 2), np.float32))


def test_other_vectors_find_the_nearest_family_within_the_cut() -> None:
    members = at_angles(90, 0, 10)
    families = np.array([0, 1, 1])

    assert find_families(at_angles(-5, 80, 180), members, families).tolist() == [1, 0, -1]
    assert find_families(at_angles(0), at_angles(0)[:0], families[:0]).tolist() == [-1]


def test_places_keep_the_largest_spread_and_never_flip() -> None:
    vectors = np.array([[0, 0, 5], [4, 0, 5], [0, 1, 5], [4, 1, 5]], np.float32)

    places = lay_out(vectors)

    assert np.allclose(places, [[-2, -0.5], [2, -0.5], [-2, 0.5], [2, 0.5]])
    assert np.array_equal(places, lay_out(vectors))
    assert lay_out(vectors[:0]).shape == (0, 2)
