"""Anchor samplers: which anchors of an image enter the loss. `docs/samplers.md` compares them."""

from models.sampling.hard_negative import HardNegativeSampler
from models.sampling.protocol import AnchorSampler

__all__ = ["AnchorSampler", "HardNegativeSampler"]
