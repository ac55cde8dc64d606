"""Uniform draws without replacement, repeatable by a generator."""

import numpy as np
import torch
from numpy.typing import NDArray


def draw(
    indices: NDArray[np.int64], num: int, generator: torch.Generator | None
) -> NDArray[np.int64]:
    """
    `num` of the indices, or all if there are fewer.

    Always one whole `torch.randperm`, of which the first `num` are used: so do MONAI, nnDetection
    and torchvision, and equal seeds must give equal draws.
    """
    if generator is None:
        order = torch.randperm(len(indices))
    else:
        order = torch.randperm(len(indices), generator=generator, device=generator.device).cpu()
    return indices if num >= len(indices) else indices[order.numpy()[:num]]
