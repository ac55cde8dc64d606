"""The pool sampler: counts, draws and refusals, against the formulas and against MONAI."""

import pytest
import torch
from monai.apps.detection.utils import hard_negative_sampler as monai
from torch import Tensor

from models.sampling import HardNegativeSampler


def image(num_positive: int, num_negative: int, num_ignored: int = 0) -> tuple[Tensor, Tensor]:
    """Labels and all-different probabilities of one image."""
    labels = torch.tensor([1] * num_positive + [0] * num_negative + [-1] * num_ignored)
    num_anchors = len(labels)
    return labels, torch.linspace(0, 1, num_anchors) if num_anchors else torch.zeros(0)


def num_chosen(sampler: HardNegativeSampler, *images: tuple[Tensor, Tensor]) -> list[list[int]]:
    """[positives, negatives] chosen in each image."""
    labels, probs = [i[0] for i in images], torch.cat([i[1] for i in images])
    positive, negative = sampler(labels, probs)
    return [[int(p.sum()), int(n.sum())] for p, n in zip(positive, negative, strict=True)]


@pytest.mark.parametrize(
    ("num_positive", "expected"),
    [
        pytest.param(3, [3, 9], id="fewer positives than the quota: 3 negatives for each"),
        pytest.param(40, [16, 48], id="quota of 64 * 0.25 full"),
        pytest.param(0, [0, 64], id="no positive: the batch is filled with negatives"),
    ],
)
def test_numbers_drawn_follow_the_formula(num_positive: int, expected: list[int]) -> None:
    sampler = HardNegativeSampler(64, 0.25)

    assert num_chosen(sampler, image(num_positive, 500)) == [expected]


@pytest.mark.parametrize("min_neg", [0, 1, 3])
def test_upstream_teaches_an_empty_image_little_and_its_value_can_be_passed(min_neg: int) -> None:
    batch_size_per_image = 512
    upstream = monai.HardNegativeSampler(batch_size_per_image, 0.5, min_neg=min_neg)
    labels, probs = image(0, 1000)

    _, theirs = upstream([labels], probs)
    ours = num_chosen(HardNegativeSampler(batch_size_per_image, 0.5, min_neg), (labels, probs))

    assert int(theirs[0].sum()) == max(1, min_neg)
    assert ours == [[0, max(1, min_neg)]]
    assert num_chosen(HardNegativeSampler(batch_size_per_image, 0.5), (labels, probs)) == [[0, 512]]
