"""Conversions between tensors on any device and the numpy arrays that samplers compute in."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def host_array(values: Tensor) -> NDArray[np.float32]:
    """Return float32 values of the same shape, without gradient."""
    array: NDArray[np.float32] = values.detach().float().cpu().numpy()
    return array


def mask_of(
    indices: Sequence[NDArray[np.int64]], shape: tuple[int, ...], device: torch.device
) -> Tensor:
    """Return a bool tensor of this shape that is true at these indices into its flat form."""
    mask = np.zeros(shape, dtype=np.bool_)
    if indices:
        mask.reshape(-1)[np.concatenate(indices)] = True
    return torch.from_numpy(mask).to(device)
