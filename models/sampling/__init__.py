"""
Samplers of the anchors that enter the loss.

`docs/explanation/samplers.md` compares them.
"""

from models.sampling.baselines import AllAnchors, BalancedSampler
from models.sampling.batched import BatchedHardNegativeSampler
from models.sampling.hard_negative import HardNegativeSampler
from models.sampling.protocol import AnchorSampler
from models.sampling.rank_mask import hard_negative_mask
from models.sampling.ratio import NaiveSampler, OHEMSampler, RatioSampler
from models.sampling.spec import SamplerName, SamplerSpec, build_sampler

__all__ = [
    "AllAnchors",
    "AnchorSampler",
    "BalancedSampler",
    "BatchedHardNegativeSampler",
    "HardNegativeSampler",
    "NaiveSampler",
    "OHEMSampler",
    "RatioSampler",
    "SamplerName",
    "SamplerSpec",
    "build_sampler",
    "hard_negative_mask",
]
