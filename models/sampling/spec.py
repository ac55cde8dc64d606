"""Samplers built from plain values, such as those of a training request."""

from dataclasses import dataclass
from enum import StrEnum

import torch

from models.sampling.baselines import AllAnchors, BalancedSampler
from models.sampling.batched import BatchedHardNegativeSampler
from models.sampling.hard_negative import HardNegativeSampler
from models.sampling.protocol import AnchorSampler
from models.sampling.ratio import RatioSampler


class SamplerName(StrEnum):
    """The samplers that `build_sampler` builds; docs/explanation/samplers.md compares them."""

    HARD_NEGATIVE = "hard-negative"
    BATCHED_HARD_NEGATIVE = "batched-hard-negative"
    BALANCED = "balanced"
    RATIO = "ratio"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class SamplerSpec:
    """
    A sampler's name and the values of its arguments; each sampler uses those that it has.

    Attributes:
        name: a `SamplerName` or its value.
        batch_size_per_image: for hard-negative, batched-hard-negative and balanced.
        positive_fraction: for hard-negative, batched-hard-negative and balanced.
        min_neg: for hard-negative and batched-hard-negative, and for ratio as `min_negatives`.
        pool_size: for hard-negative and batched-hard-negative.
        neg_pos_ratio: for ratio.
    """

    name: str
    batch_size_per_image: int = 256
    positive_fraction: float = 0.25
    min_neg: int | None = None
    pool_size: float = 10.0
    neg_pos_ratio: float = 3.0


def build_sampler(spec: SamplerSpec, *, generator: torch.Generator | None = None) -> AnchorSampler:
    """
    Build a sampler by name.

    Args:
        spec: name and arguments.
        generator: source of all random draws; None: torch's global generator.

    Raises:
        ValueError: The name is unknown, or the sampler refuses a value.
    """
    if spec.name not in list(SamplerName):
        raise ValueError(f"sampler {spec.name!r} is none of {', '.join(SamplerName)}")
    match SamplerName(spec.name):
        case SamplerName.HARD_NEGATIVE:
            return HardNegativeSampler(
                spec.batch_size_per_image,
                spec.positive_fraction,
                spec.min_neg,
                spec.pool_size,
                generator=generator,
            )
        case SamplerName.BATCHED_HARD_NEGATIVE:
            return BatchedHardNegativeSampler(
                spec.batch_size_per_image,
                spec.positive_fraction,
                spec.min_neg,
                spec.pool_size,
                generator=generator,
            )
        case SamplerName.BALANCED:
            return BalancedSampler(
                spec.batch_size_per_image, spec.positive_fraction, generator=generator
            )
        case SamplerName.RATIO:
            return RatioSampler(spec.neg_pos_ratio, spec.min_neg)
        case SamplerName.ALL:
            return AllAnchors()
