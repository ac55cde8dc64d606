"""Uniform draws without replacement."""

import numpy as np
import torch
from numpy.typing import NDArray


def draw(
    indices: NDArray[np.int64], num: int, generator: torch.Generator | None
) -> NDArray[np.int64]:
    """
    Draw `num` of the indices, or return all if there are fewer.

    Every draw takes the first `num` of one whole `torch.randperm`, as MONAI, nnDetection and
    torchvision do: equal seeds must give equal draws.
    """
    if generator is None:
        order = torch.randperm(len(indices))
    else:
        order = torch.randperm(len(indices), generator=generator, device=generator.device).cpu()
    return indices if num >= len(indices) else indices[order.numpy()[:num]]
