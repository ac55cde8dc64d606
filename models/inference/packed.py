"""Convolutions for scoring: weights in the processor's layout, with the activation built in."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.detectors.backbones import SamePadConv2d

# oneDNN's name and parameters of each activation
_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Hardswish: ("hardswish", []),
}


class PackedConv2d(nn.Module):
    """
    A float32 convolution on the CPU and the activation after it, as one call of oneDNN.

    `conv2d` lays the weights out anew at each call, and a separate activation passes over the whole
    output again. It also falls back from oneDNN to slow code if one thread convolves a few images
    by 1 × 1. Under autocast, weights are converted to its type at the first call and kept.

    Its ReLU and ReLU6 turn NaN into 0, where torch's keep it; keeping it would take another pass
    over every output. NaN within a network can then end as a finite score: `prove` finds it.

    The operators are undocumented ones that torch has for compiled models (`torch.ops.mkldnn`):
    `can_pack` checks that they exist, and tests compare outputs with `conv2d`'s.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module | None = None) -> None:
        super().__init__()
        self._pad = conv.pad if isinstance(conv, SamePadConv2d) else None
        self._weight = conv.weight.detach()
        self._bias = None if conv.bias is None else conv.bias.detach()
        assert not isinstance(conv.padding, str)
        self._geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self._activation = ("none", []) if activation is None else _ACTIVATIONS[type(activation)]
        self._packed: dict[torch.dtype, tuple[Tensor, Tensor | None]] = {}

    def forward(self, x: Tensor) -> Tensor:
        of_autocast = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if of_autocast else torch.float32
        weight, bias = self._packed.get(dtype) or self._pack(dtype)
        if self._pad is not None:
            x = self._pad(x)
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x.to(dtype), weight, bias, *self._geometry, *self._activation, None
        )
        return out

    def __getstate__(self) -> dict[str, object]:
        """Leave out packed tensors, which cannot be copied; a copy packs its own."""
        return {**self.__dict__, "_packed": {}}

    def _pack(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        weight: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            self._weight.to(dtype), *self._geometry
        )
        packed = (weight, None if self._bias is None else self._bias.to(dtype))
        self._packed[dtype] = packed
        return packed


def pack_convolutions(network: nn.Module) -> None:
    """
    Replace each convolution by a `PackedConv2d`, in place.

    It includes an activation that follows the convolution in an `nn.Sequential`, the only module
    whose children are known to run in their order.
    """
    for module in list(network.modules()):
        children = {
            name: child
            for name, child in module.named_children()
            if not isinstance(child, nn.Identity)
        }
        for (name, conv), (following, behind) in pairwise([*children.items(), ("", None)]):
            if not isinstance(conv, nn.Conv2d) or not _is_packable(conv):
                continue
            if isinstance(module, nn.Sequential) and type(behind) in _ACTIVATIONS:
                setattr(module, name, PackedConv2d(conv, behind))
                setattr(module, following, nn.Identity())
            else:
                setattr(module, name, PackedConv2d(conv))


def can_pack(device: torch.device) -> bool:
    """Return True if this build of torch has the operators for this device."""
    return (
        device.type == "cpu"
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
    )


def _is_packable(conv: nn.Conv2d) -> bool:
    return (
        type(conv) in (nn.Conv2d, SamePadConv2d)
        and conv.weight.dtype == torch.float32
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )
