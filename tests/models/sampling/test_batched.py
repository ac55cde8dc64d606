"""Hard negatives over a whole batch."""

import pytest
import torch
from monai.apps.detection.utils import hard_negative_sampler as monai

from models.sampling import BatchedHardNegativeSampler


def test_hard_images_get_more_negatives() -> None:
    labels = [torch.tensor([1, 0, 0, 0]), torch.zeros(3, dtype=torch.int64)]
    probs = torch.tensor([0.9, 0.1, 0.2, 0.3, 0.8, 0.7, 0.15])

    positive, negative = BatchedHardNegativeSampler(2, 0.25, pool_size=1)(labels, probs)

    assert [p.tolist() for p in positive] == [[True, False, False, False], [False] * 3]
    assert [n.tolist() for n in negative] == [[False, False, False, True], [True, True, False]]


@pytest.mark.parametrize("num_positive", [0, 1, 5, 40])
def test_equals_the_image_sampler_on_one_image_as_large_as_the_batch(num_positive: int) -> None:
    labels = [(torch.arange(n) < num_positive).long() for n in (50, 60, 0)]
    probs = torch.randperm(110, generator=torch.Generator().manual_seed(0)) / 110

    torch.manual_seed(0)
    ours = BatchedHardNegativeSampler(8, 0.5, min_neg=1)(labels, probs)
    torch.manual_seed(0)
    theirs = monai.HardNegativeSampler(24, 0.5, min_neg=1)([torch.cat(labels)], probs)

    assert [torch.cat(masks).int().tolist() for masks in ours] == [
        mask.int().tolist() for (mask,) in theirs
    ]
    assert [len(mask) for mask in ours[1]] == [50, 60, 0]


def test_fault_upstream_a_batch_without_objects_teaches_little() -> None:
    labels = [torch.zeros(50, dtype=torch.int64)] * 2
    probs = torch.arange(100) / 100

    _, as_upstream = BatchedHardNegativeSampler(16, 0.5, min_neg=0)(labels, probs)
    _, ours = BatchedHardNegativeSampler(16, 0.5)(labels, probs)

    assert sum(int(mask.sum()) for mask in as_upstream) == 1
    assert sum(int(mask.sum()) for mask in ours) == 32


def test_bad_input_is_refused_and_no_image_gives_no_mask() -> None:
    sampler = BatchedHardNegativeSampler(4, 0.5)

    assert sampler([], torch.zeros(0)) == ([], [])
    with pytest.raises(ValueError, match="3 anchors need"):
        sampler([torch.zeros(3, dtype=torch.int64)], torch.zeros(4))
    with pytest.raises(ValueError, match=r"\[A_i\]"):
        sampler([torch.zeros((1, 3), dtype=torch.int64)], torch.zeros(3))
    with pytest.raises(ValueError, match="positive_fraction"):
        BatchedHardNegativeSampler(4, 2)
