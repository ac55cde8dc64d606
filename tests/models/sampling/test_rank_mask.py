"""The rank mask, against the double sort."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.sampling import hard_negative_mask


def by_double_sort(loss: Tensor, num_negatives: Tensor) -> Tensor:
    order = loss.sort(dim=1, descending=True, stable=True).indices
    return order.sort(dim=1).indices < num_negatives[:, None]


def test_golden_case() -> None:
    loss = torch.tensor([9.0, 1.0, 8.0, 2.0, 3.0])

    assert hard_negative_mask(loss, 3).tolist() == [True, False, True, False, True]


def test_the_first_of_equal_losses_are_taken() -> None:
    loss = torch.tensor([[1.0, 2.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])

    assert hard_negative_mask(loss, [2, 3]).tolist() == [
        [True, True, False, False],
        [True, True, True, False],
    ]


@settings(deadline=None)
@given(st.data())
def test_equals_the_double_sort(data: st.DataObject) -> None:
    num_images, num_anchors = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 15))
    values = st.sampled_from([-1.0, 0.0, 0.5, 2.0, float("inf")])
    loss = torch.tensor(
        data.draw(
            st.lists(values, min_size=num_images * num_anchors, max_size=num_images * num_anchors)
        )
    ).view(num_images, num_anchors)
    nums = torch.tensor(
        data.draw(st.lists(st.integers(0, 20), min_size=num_images, max_size=num_images))
    )

    assert hard_negative_mask(loss, nums).equal(by_double_sort(loss, nums))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_equals_the_double_sort_at_the_size_of_ssd300(dtype: torch.dtype) -> None:
    loss = torch.rand((4, 8732), generator=torch.Generator().manual_seed(0)).to(dtype)
    nums = torch.tensor([0, 30, 300, 8732])

    assert hard_negative_mask(loss, nums).equal(by_double_sort(loss, nums))


def test_more_than_all_is_all_and_none_is_none() -> None:
    assert hard_negative_mask(torch.rand(4), 9).all()
    assert not hard_negative_mask(torch.rand(4), 0).any()
    assert hard_negative_mask(torch.zeros((0, 4)), 2).shape == (0, 4)
    assert hard_negative_mask(torch.zeros((2, 0)), 2).shape == (2, 0)


def test_bad_inputs_are_refused() -> None:
    loss = torch.rand(2, 4)

    with pytest.raises(ValueError, match="at least 0"):
        hard_negative_mask(loss, -1)
    with pytest.raises(ValueError, match="NaN"):
        hard_negative_mask(torch.tensor([1.0, torch.nan]), 1)
    with pytest.raises(ValueError, match=r"int \[2\]"):
        hard_negative_mask(loss, torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match="float32"):
        hard_negative_mask(loss, torch.tensor([1.0, 2.0]))
    with pytest.raises(ValueError, match=r"\[A\] or \[B, A\]"):
        hard_negative_mask(torch.rand(1, 2, 3), 1)
