"""Random and complete sampling."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from models.sampling import AllAnchors, BalancedSampler


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(-1, 2), max_size=40), max_size=3),
    st.integers(1, 30),
    st.sampled_from([0.25, 0.5, 1.0]),
)
def test_balanced_equals_torchvision_with_the_same_seed(
    labels: list[list[int]], batch_size: int, fraction: float
) -> None:
    images = [torch.tensor(image, dtype=torch.int64) for image in labels]

    torch.manual_seed(5)
    ours = BalancedSampler(batch_size, fraction)(images)
    torch.manual_seed(5)
    theirs = BalancedPositiveNegativeSampler(batch_size, fraction)(images)

    for our_masks, their_masks in zip(ours, theirs, strict=True):
        assert [mask.int().tolist() for mask in our_masks] == [
            mask.int().tolist() for mask in their_masks
        ]


def test_balanced_fills_the_batch_of_an_image_without_objects() -> None:
    labels = [torch.zeros(100, dtype=torch.int64)]

    positive, negative = BalancedSampler(16, 0.5)(labels, torch.zeros(100))

    assert [int(positive[0].sum()), int(negative[0].sum())] == [0, 16]


def test_a_generator_makes_balanced_draws_repeatable() -> None:
    labels = [torch.zeros(100, dtype=torch.int64)]

    first, second = (
        BalancedSampler(16, 0.5, generator=torch.Generator().manual_seed(7))(labels)[1][0]
        for _ in range(2)
    )

    assert first.equal(second)


def test_balanced_refuses_bad_arguments() -> None:
    with pytest.raises(ValueError, match="batch_size_per_image"):
        BalancedSampler(0, 0.5)
    with pytest.raises(ValueError, match="positive_fraction"):
        BalancedSampler(8, 0)
    with pytest.raises(ValueError, match=r"\[A_i\]"):
        BalancedSampler(8, 0.5)([torch.zeros((2, 2))])


def test_all_anchors_leaves_out_only_the_ignored() -> None:
    positive, negative = AllAnchors()([torch.tensor([2, 0, -1, 1])])

    assert positive[0].tolist() == [True, False, False, True]
    assert negative[0].tolist() == [False, True, False, False]
