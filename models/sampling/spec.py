"""A sampler from plain values, as a training request carries them."""

from dataclasses import dataclass
from enum import StrEnum

import torch

from models.sampling.baselines import AllAnchors, BalancedSampler
from models.sampling.batched import BatchedHardNegativeSampler
from models.sampling.hard_negative import HardNegativeSampler
from models.sampling.protocol import AnchorSampler
from models.sampling.ratio import RatioSampler


class SamplerName(StrEnum):
    """What `build_sampler` can build; `docs/explanation/samplers.md` says when to use which."""

    HARD_NEGATIVE = "hard-negative"
    BATCHED_HARD_NEGATIVE = "batched-hard-negative"
    BALANCED = "balanced"
    RATIO = "ratio"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class SamplerSpec:
    """
    A sampler by name and the values of its arguments; those that it does not have are not used.

    Attributes:
        name: a `SamplerName` or its value.
        batch_size_per_image, positive_fraction: of hard-negative, batched-hard-negative, balanced.
        min_neg: of hard-negative, batched-hard-negative, and of ratio as its `min_negatives`.
        pool_size: of hard-negative, batched-hard-negative.
        neg_pos_ratio: of ratio.
    """

    name: str
    batch_size_per_image: int = 256
    positive_fraction: float = 0.25
    min_neg: int | None = None
    pool_size: float = 10.0
    neg_pos_ratio: float = 3.0


def build_sampler(spec: SamplerSpec, *, generator: torch.Generator | None = None) -> AnchorSampler:
    """
    Args:
        spec: which sampler, with which values.
        generator: makes every draw of the samplers that draw repeatable.

    Raises ValueError for an unknown name and for values that the sampler refuses.
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
