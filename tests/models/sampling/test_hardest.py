"""The selection that all samplers use, against a plain sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.sampling.hardest import hardest


def by_plain_sort(
    values: NDArray[np.float32], allowed: NDArray[np.bool_], nums: list[int]
) -> list[list[int]]:
    """Sort each image in Python, and return flat indices."""
    num_anchors = values.shape[1]
    chosen = []
    for image, num in enumerate(nums):
        anchors = [a for a in range(num_anchors) if allowed[image, a]]
        anchors.sort(key=lambda a: (-values[image, a], a))
        chosen.append([image * num_anchors + a for a in anchors[:num]])
    return chosen


FEW_VALUES = st.sampled_from([-np.inf, -2.5, -1e-40, -0.0, 0.0, 1e-40, 0.25, 1.0, 3e38, np.inf])


@settings(deadline=None)
@given(st.data())
def test_small_images_with_many_ties(data: st.DataObject) -> None:
    num_images, num_anchors = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 12))
    size = num_images * num_anchors
    values = data.draw(st.lists(FEW_VALUES, min_size=size, max_size=size))
    allowed = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    image_values = np.array(values, dtype=np.float32).reshape(num_images, num_anchors)
    image_allowed = np.array(allowed, dtype=np.bool_).reshape(num_images, num_anchors)
    nums = [data.draw(st.integers(0, int(row.sum()))) for row in image_allowed]

    chosen = hardest(image_values, image_allowed, nums)

    assert [c.tolist() for c in chosen] == by_plain_sort(image_values, image_allowed, nums)


@pytest.mark.parametrize("num_levels", [2, 50, 1_000_000])
@pytest.mark.parametrize("share_allowed", [0.02, 1.0])
def test_large_images_with_an_estimated_bar(num_levels: int, share_allowed: float) -> None:
    rng = np.random.default_rng(0)
    values = (rng.integers(0, num_levels, (3, 9000)) / num_levels).astype(np.float32)
    allowed = rng.random(values.shape) < share_allowed
    nums = [0, 7, min(400, int(allowed[2].sum()))]

    chosen = hardest(values, allowed, nums)

    assert [c.tolist() for c in chosen] == by_plain_sort(values, allowed, nums)


def test_too_high_an_estimate_is_dropped() -> None:
    values = (np.arange(9000) / 9000).astype(np.float32)[None]
    values[:, ::17] += 1  # 17 is the sample's stride: no other value reaches its hardest
    allowed = np.ones_like(values, dtype=np.bool_)

    for num in (800, 2000, 5000, 9000):
        (chosen,) = hardest(values, allowed, [num])

        assert chosen.tolist() == by_plain_sort(values, allowed, [num])[0]
