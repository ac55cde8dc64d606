"""
Losses over sampled, mined or down-weighted anchors.

`docs/explanation/samplers.md` compares them.
"""

from models.losses.focal import FocalLoss
from models.losses.hard_mining import HardMiningCrossEntropyLoss
from models.losses.ssd import MatchedBoxes, SSDLoss, encode_boxes, match_default_boxes

__all__ = [
    "FocalLoss",
    "HardMiningCrossEntropyLoss",
    "MatchedBoxes",
    "SSDLoss",
    "encode_boxes",
    "match_default_boxes",
]
