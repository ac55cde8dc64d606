"""The pool sampler: counts, draws and refusals, against plain loops and against MONAI."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.apps.detection.utils import hard_negative_sampler as monai
from torch import Tensor

from models.sampling import HardNegativeSampler


def image(num_positive: int, num_negative: int, num_ignored: int = 0) -> tuple[Tensor, Tensor]:
    """Return labels, and probabilities that rise from anchor to anchor."""
    labels = torch.tensor([1] * num_positive + [0] * num_negative + [-1] * num_ignored)
    return labels, torch.arange(len(labels)) / 2048  # exact in every float type


def num_chosen(sampler: HardNegativeSampler, *images: tuple[Tensor, Tensor]) -> list[list[int]]:
    """Count the chosen [positives, negatives] of each image."""
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

    assert num_chosen(sampler, image(num_positive, 500, 20)) == [expected]


def test_an_image_with_too_few_anchors_gives_all() -> None:
    sampler = HardNegativeSampler(64, 0.25)

    assert num_chosen(sampler, image(0, 5), image(30, 4), image(0, 0), image(0, 0, 9)) == [
        [0, 5],
        [16, 4],
        [0, 0],
        [0, 0],
    ]
    assert sampler([], torch.zeros(0)) == ([], [])


labels_of_an_image = st.lists(st.integers(-2, 3), max_size=40).map(
    lambda labels: torch.tensor(labels, dtype=torch.int64)
)
batches = st.lists(labels_of_an_image, max_size=4)
fractions = st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.7, 1.0])


def distinct_probs(labels: list[Tensor], seed: int) -> Tensor:
    """Return float [R], all different, exact in half precision."""
    order = torch.randperm(sum(map(len, labels)), generator=torch.Generator().manual_seed(seed))
    return order / 256


@settings(deadline=None)
@given(batches, st.integers(1, 30), fractions, st.none() | st.integers(0, 9), st.integers(1, 4))
def test_matches_a_plain_loop(
    labels: list[Tensor], batch_size: int, fraction: float, min_neg: int | None, pool_size: int
) -> None:
    probs = distinct_probs(labels, seed=1)

    sampler = HardNegativeSampler(batch_size, fraction, min_neg, pool_size)
    positive, negative = sampler(labels, probs)

    start = 0
    for image_labels, chosen_positive, chosen_negative in zip(
        labels, positive, negative, strict=True
    ):
        image_probs = probs[start : start + len(image_labels)].tolist()
        start += len(image_labels)
        positives = [a for a, label in enumerate(image_labels.tolist()) if label >= 1]
        negatives = [a for a, label in enumerate(image_labels.tolist()) if label == 0]
        num_pos = min(len(positives), int(batch_size * fraction))
        floor = min_neg if min_neg is not None else (batch_size if num_pos == 0 else 1)
        num_neg = min(len(negatives), max(int(max(1, num_pos) * abs(1 - 1 / fraction)), floor))
        pool = sorted(negatives, key=lambda a: -image_probs[a])[: num_neg * pool_size]
        assert set(chosen_positive.nonzero().flatten().tolist()) <= set(positives)
        assert set(chosen_negative.nonzero().flatten().tolist()) <= set(pool)
        assert [int(chosen_positive.sum()), int(chosen_negative.sum())] == [num_pos, num_neg]


@settings(deadline=None)
@given(
    batches,
    st.integers(1, 30),
    fractions,
    st.integers(0, 9),
    st.sampled_from([1.0, 1.5, 2.0, 10.0]),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
def test_equals_monai_bit_for_bit_with_the_same_seed(
    labels: list[Tensor],
    batch_size: int,
    fraction: float,
    min_neg: int,
    pool_size: float,
    dtype: torch.dtype,
) -> None:
    probs = distinct_probs(labels, seed=2).to(dtype)

    torch.manual_seed(3)
    ours = HardNegativeSampler(batch_size, fraction, min_neg, pool_size)(labels, probs)
    torch.manual_seed(3)
    theirs = monai.HardNegativeSampler(batch_size, fraction, min_neg, pool_size)(labels, probs)

    assert_equal_masks(ours, theirs)


def assert_equal_masks(
    ours: tuple[list[Tensor], list[Tensor]], theirs: tuple[list[Tensor], list[Tensor]]
) -> None:
    for our_masks, their_masks in zip(ours, theirs, strict=True):
        assert [mask.dtype for mask in our_masks] == [torch.bool] * len(their_masks)
        assert [mask.int().tolist() for mask in our_masks] == [
            mask.int().tolist() for mask in their_masks
        ]


PERMUTATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda order: order,
    "reversed": lambda order: order.flip(0),
    "odd ones first": lambda order: torch.cat([order[1::2], order[::2]]),
}


@pytest.mark.parametrize("permute", PERMUTATIONS.values(), ids=PERMUTATIONS.keys())
@pytest.mark.parametrize("num_anchors", [100, 9000])
def test_equals_monai_given_the_same_permutation(
    permute: Callable[[Tensor], Tensor], num_anchors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fixed(n: int, **_: object) -> Tensor:
        return permute(torch.arange(n))

    generator = torch.Generator().manual_seed(0)
    labels = [
        (torch.rand(num_anchors, generator=generator) < share).long() for share in (0, 0.01, 0.3)
    ]
    probs = torch.randperm(3 * num_anchors, generator=generator) / (3 * num_anchors)
    monkeypatch.setattr(torch, "randperm", fixed)

    ours = HardNegativeSampler(64, 0.25, 16, 20)(labels, probs)
    theirs = monai.HardNegativeSampler(64, 0.25, 16, 20)(labels, probs)

    assert_equal_masks(ours, theirs)


def test_every_method_of_monai_gives_the_same_result() -> None:
    ours, theirs = HardNegativeSampler(6, 0.5, 1, 2), monai.HardNegativeSampler(6, 0.5, 1, 2)
    labels, probs = image(4, 20, 3)
    positive, negative = (labels >= 1).nonzero().flatten(), (labels == 0).nonzero().flatten()
    calls: list[Callable[[HardNegativeSampler], Tensor]] = [
        lambda s: torch.stack(s.select_samples_per_img(labels, probs)),
        lambda s: torch.stack(
            [m for masks in s.select_samples_img_list([labels] * 2, [probs] * 2) for m in masks]
        ),
        lambda s: s.select_positives(positive, 2, labels),
        lambda s: s.select_negatives(negative, 5, probs),
        lambda s: torch.tensor([s.get_num_pos(positive), s.get_num_pos(positive[:1])]),
        lambda s: torch.tensor([s.get_num_neg(negative, n) for n in range(30)]),
    ]
    for call in calls:
        torch.manual_seed(0)
        answer = call(ours)
        torch.manual_seed(0)
        assert answer.long().equal(call(theirs).long())


def test_images_of_different_lengths_share_a_batch() -> None:
    sampler = HardNegativeSampler(8, 0.25, pool_size=1)

    assert num_chosen(sampler, image(1, 5), image(0, 30), image(0, 30), image(9, 9)) == [
        [1, 3],
        [0, 8],
        [0, 8],
        [2, 6],
    ]


def test_plain_top_k_takes_the_first_of_equal_ones() -> None:
    labels = torch.zeros(6, dtype=torch.int64)
    probs = torch.tensor([0.5, 0.9, 0.5, 0.9, 0.5, 0.1])

    _, (negative,) = HardNegativeSampler(3, 0.5, pool_size=1)([labels], probs)

    assert negative.tolist() == [True, True, False, True, False, False]


def test_a_generator_makes_draws_repeatable() -> None:
    labels, probs = image(20, 500)

    draws = []
    for seed in (1, 1, 2):
        sampler = HardNegativeSampler(16, 0.5, generator=torch.Generator().manual_seed(seed))
        first, second = (torch.stack(sampler.select_samples_per_img(labels, probs)) for _ in "ab")
        assert not first.equal(second)
        draws.append(first)

    assert draws[0].equal(draws[1])
    assert not draws[0].equal(draws[2])


def test_negatives_are_drawn_evenly_from_the_pool() -> None:
    labels, probs = image(0, 100)
    sampler = HardNegativeSampler(5, 0.5, pool_size=4, generator=torch.Generator().manual_seed(0))

    times = torch.zeros(100)
    for _ in range(2000):
        times += sampler.select_samples_per_img(labels, probs)[1]

    assert not times[:80].any()  # outside the pool of 4 * 5
    assert ((times[80:] - 500).abs() < 5 * (2000 * 0.25 * 0.75) ** 0.5).all()


def test_no_gradient_flows_through_the_choice() -> None:
    labels, probs = image(2, 30)

    positive, negative = HardNegativeSampler(8, 0.25)([labels], probs.requires_grad_())

    assert not positive[0].requires_grad
    assert not negative[0].requires_grad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.5), "batch_size_per_image"),
        ((-4, 0.5), "batch_size_per_image"),
        ((8, 0.0), "positive_fraction"),
        ((8, -0.5), "positive_fraction"),
        ((8, 1.1), "positive_fraction"),
        ((8, float("nan")), "positive_fraction"),
        ((8, 0.5, -1), "min_neg"),
        ((8, 0.5, 1.5), "min_neg must be a whole number"),
        ((8.5, 0.5), "batch_size_per_image must be a whole number"),
        ((8, 0.5, 1, 0.5), "pool_size"),
        ((8, 0.5, 1, float("inf")), "pool_size"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple[int, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HardNegativeSampler(*arguments)


def test_bad_inputs_are_refused() -> None:
    sampler = HardNegativeSampler(8, 0.5)
    labels, probs = image(2, 8)

    with pytest.raises(ValueError, match="10 anchors need"):
        sampler([labels], probs[:-1])
    with pytest.raises(ValueError, match=r"\[A_i\]"):
        sampler([labels.view(2, 5)], probs)
    with pytest.raises(ValueError, match="do not fit"):
        sampler.select_samples_img_list([labels], [probs, probs])
    with pytest.raises(ValueError, match="do not fit"):
        sampler.select_samples_per_img(labels, probs[:-1])
    with pytest.raises(ValueError, match="12 positives among 10"):
        sampler.select_positives(torch.arange(12), 2, labels)
    with pytest.raises(ValueError, match="12 negatives among 10"):
        sampler.select_negatives(torch.arange(12), 2, probs)
    with pytest.raises(ValueError, match="num_neg"):
        sampler.select_negatives(torch.arange(4), -1, probs)
    with pytest.raises(ValueError, match="num_pos"):
        sampler.select_positives(torch.arange(4), -1, labels)


@pytest.mark.parametrize("min_neg", [0, 1, 3])
def test_fault_upstream_an_empty_image_teaches_little(min_neg: int) -> None:
    upstream = monai.HardNegativeSampler(512, 0.5, min_neg=min_neg)
    labels, probs = image(0, 1000)

    _, theirs = upstream([labels], probs)

    assert int(theirs[0].sum()) == max(1, min_neg)
    assert num_chosen(HardNegativeSampler(512, 0.5, min_neg), (labels, probs)) == [
        [0, max(1, min_neg)]
    ]
    assert num_chosen(HardNegativeSampler(512, 0.5), (labels, probs)) == [[0, 512]]


def test_fault_upstream_no_positive_fraction_divides_by_zero() -> None:
    labels, probs = image(2, 8)

    with pytest.raises(ZeroDivisionError):
        monai.HardNegativeSampler(8, 0.0)([labels], probs)
    with pytest.raises(ValueError, match=r"positive_fraction must be in \(0, 1\], got 0"):
        HardNegativeSampler(8, 0.0)


def test_fault_upstream_a_small_pool_gives_too_few() -> None:
    labels, probs = image(4, 100)

    _, theirs = monai.HardNegativeSampler(8, 0.5, pool_size=0.5)([labels], probs)

    assert int(theirs[0].sum()) == 2  # of 4
    with pytest.raises(ValueError, match="pool_size must be finite and at least 1"):
        HardNegativeSampler(8, 0.5, pool_size=0.5)


def test_fault_upstream_nan_ranks_hardest() -> None:
    labels, probs = image(1, 9)
    probs[4] = torch.nan

    _, theirs = monai.HardNegativeSampler(2, 0.5, pool_size=1)([labels], probs)

    assert theirs[0].nonzero().tolist() == [[4]]
    with pytest.raises(ValueError, match="NaN"):
        HardNegativeSampler(2, 0.5, pool_size=1)([labels], probs)
