"""The objects of one image, and what else is known of it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IGNORED = -1
BACKGROUND = 0


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """
    The objects of one image; an image without objects has boxes of shape (0, 4).

    A negative may have boxes of two more kinds, which only training knows. An ignored box holds
    something that may be an object: the anchors on it teach nothing. A background box is certain
    to hold none, and its anchors teach even where an ignored box overlaps it.

    Attributes:
        boxes: float [M, 4], xyxy in pixels of the original, upright image.
        labels: int64 [M]; 1 and up, label k is `class_names[k - 1]`; 0 is a background box, -1 an
            ignored one.
    """

    boxes: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.labels), 4):
            raise ValueError(f"{self.boxes.shape=} must be ({len(self.labels)}, 4)")

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> tuple[object, ...]:
        # A pickled tensor takes 0.2 ms, and the processes of a training get two for each image.
        return _from_arrays, (self.boxes.numpy(), self.labels.numpy())

    @classmethod
    def empty(cls) -> "GroundTruth":
        """Return the truth of a negative image."""
        return cls(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def _from_arrays(boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> GroundTruth:
    return GroundTruth(torch.from_numpy(boxes), torch.from_numpy(labels))
