"""
Losses over sampled, mined or down-weighted anchors.

`docs/explanation/samplers.md` compares them.
"""

from models.losses.focal import FocalLoss
from models.losses.hard_mining import HardMiningCrossEntropyLoss
from models.losses.matching import MatchedBoxes, match_default_boxes
from models.losses.ssd import SSDLoss

__all__ = [
    "FocalLoss",
    "HardMiningCrossEntropyLoss",
    "MatchedBoxes",
    "SSDLoss",
    "match_default_boxes",
]
