"""The mask of the highest losses of each image, without sorting."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.sampling.arguments import require_no_nan
from models.sampling.arrays import host_array, mask_of
from models.sampling.hardest import hardest


def hard_negative_mask(loss: Tensor, num_negatives: int | Sequence[int] | Tensor) -> Tensor:
    """
    Mark the `num_negatives` highest losses of each image, the first of equal ones.

    The mask equals SSD's "rank below n", where the rank is the argsort of a descending argsort. It
    costs a small fraction: only the highest are put in order. Losses are compared in float32.

    Args:
        loss: float [A] or [B, A] without NaN.
        num_negatives: at least 0; one number, or int [B]. All anchors of an image that has fewer.

    Returns:
        Bool mask in the shape of `loss`.
    """
    if loss.ndim not in (1, 2):
        raise ValueError(f"loss must be [A] or [B, A], got {list(loss.shape)}")
    rows = host_array(loss.reshape(1, -1) if loss.ndim == 1 else loss)
    require_no_nan("loss", rows)
    nums = _numbers_per_image(num_negatives, len(rows), rows.shape[1])
    return mask_of(hardest(rows, np.ones_like(rows, dtype=np.bool_), nums), loss.shape, loss.device)


def _numbers_per_image(
    num_negatives: int | Sequence[int] | Tensor, num_images: int, num_anchors: int
) -> list[int]:
    given = torch.as_tensor(num_negatives)
    if given.shape not in ((), (num_images,)) or given.is_floating_point():
        raise ValueError(
            f"num_negatives must be an integer or int [{num_images}], got {given.dtype} "
            f"{list(given.shape)}"
        )
    nums = given.expand(num_images).tolist()
    if any(num < 0 for num in nums):
        raise ValueError(f"num_negatives must be at least 0, got {nums}")
    return [min(int(num), num_anchors) for num in nums]
