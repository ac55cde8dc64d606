"""Samplers built from plain values."""

import pytest
import torch

from models.sampling import (
    AllAnchors,
    BalancedSampler,
    BatchedHardNegativeSampler,
    HardNegativeSampler,
    RatioSampler,
    SamplerName,
    SamplerSpec,
    build_sampler,
)


@pytest.mark.parametrize(
    ("name", "sampler_type"),
    [
        ("hard-negative", HardNegativeSampler),
        ("batched-hard-negative", BatchedHardNegativeSampler),
        ("balanced", BalancedSampler),
        ("ratio", RatioSampler),
        ("all", AllAnchors),
    ],
)
def test_a_sampler_is_built_by_name(name: str, sampler_type: type) -> None:
    assert isinstance(build_sampler(SamplerSpec(name)), sampler_type)


def test_the_values_reach_the_sampler() -> None:
    spec = SamplerSpec("hard-negative", 32, 0.5, min_neg=7, pool_size=2.0)
    generator = torch.Generator()

    sampler = build_sampler(spec, generator=generator)
    ratio = build_sampler(SamplerSpec("ratio", min_neg=5, neg_pos_ratio=4.0))

    assert isinstance(sampler, HardNegativeSampler)
    assert sampler.batch_size_per_image == 32
    assert sampler.positive_fraction == 0.5
    assert sampler.min_neg == 7
    assert sampler.pool_size == 2.0
    assert sampler.generator is generator
    assert isinstance(ratio, RatioSampler)
    assert (ratio.neg_pos_ratio, ratio.min_negatives) == (4.0, 5)


@pytest.mark.parametrize("name", list(SamplerName))
def test_every_default_learns_from_an_image_without_objects(name: str) -> None:
    labels = torch.zeros(500, dtype=torch.int64)

    positive, negative = build_sampler(SamplerSpec(name))([labels], torch.linspace(0, 1, 500))

    assert not positive[0].any()
    assert int(negative[0].sum()) >= 64


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sampler 'ohm' is none of hard-negative, .*, all"):
        build_sampler(SamplerSpec("ohm"))
    with pytest.raises(ValueError, match="positive_fraction"):
        build_sampler(SamplerSpec("balanced", positive_fraction=0))
