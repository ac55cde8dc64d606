"""A copy of a detector for scoring: BatchNorm folded into the convolutions before it."""

import copy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.detectors.detector import Detector
from models.inference.packed import can_pack, pack_convolutions


def fuse(detector: Detector) -> Detector:
    """
    Return a copy in eval mode that gives the same outputs, within float rounding, in less time.

    In every family here, a BatchNorm layer that follows a convolution among a module's children
    also runs right after it. On the CPU, convolutions are packed, see `PackedConv2d`. The copy
    cannot be trained, moved to another device or saved as a checkpoint.
    """
    fused = copy.deepcopy(detector).eval()
    for module in list(fused.network.modules()):
        _fuse_children(module)
    fused.network.to(memory_format=torch.channels_last)
    fused.requires_grad_(False)
    if can_pack(fused.device):
        pack_convolutions(fused.network)
    return fused


def _fuse_children(module: nn.Module) -> None:
    children = list(module.named_children())
    for (conv_name, conv), (norm_name, norm) in pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(module, norm_name, nn.Identity())
