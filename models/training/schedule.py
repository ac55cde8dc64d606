"""Optimizers, and their learning rates over a training run."""

import math
from collections.abc import Sequence
from typing import Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

OptimizerName = Literal["adamw", "sgd"]

SGD_MOMENTUM = 0.9


def rate_factor(step: int, num_steps: int, warmup_steps: int, final_factor: float) -> float:
    """
    Return the share of the learning rate at one step: a linear rise, then half a cosine down.

    Args:
        step: step of the run, from 0.
        num_steps: steps of the whole run.
        warmup_steps: steps of the rise; the first has the share 1 / warmup_steps.
        final_factor: share at the last step, in [0, 1].

    Source:
        Goyal et al. 2017, arXiv:1706.02677 section 2.2 (warm-up); Loshchilov and Hutter 2017,
        arXiv:1608.03983 (cosine), without restarts.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - 1 - warmup_steps)
    return final_factor + (1 - final_factor) * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set the rate of every group; the backbone's groups get their share of it."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["rate_factor"]


def build_optimizer(
    name: OptimizerName,
    network: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    backbone: Sequence[nn.Parameter] = (),
    backbone_rate_factor: float = 1.0,
) -> Optimizer:
    """
    Build AdamW or SGD. Biases and normalisation (parameters of one dimension) do not decay.

    The backbone learns at `backbone_rate_factor` times the rate.
    """
    in_backbone = {id(parameter) for parameter in backbone}
    others = [p for p in network.parameters() if id(p) not in in_backbone]
    groups = [
        {
            "params": [p for p in parameters if p.requires_grad and (p.ndim > 1) == is_decayed],
            "weight_decay": weight_decay if is_decayed else 0.0,
            "rate_factor": factor,
        }
        for parameters, factor in ((backbone, backbone_rate_factor), (others, 1.0))
        for is_decayed in (True, False)
    ]
    if name == "adamw":
        return AdamW(groups, lr=learning_rate)
    return SGD(groups, lr=learning_rate, momentum=SGD_MOMENTUM)
