"""The detections of one image."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Detections:
    """
    The detections of one image, highest score first.

    Attributes:
        boxes: float [N, 4], xyxy in pixels of the original, upright image.
        scores: float [N] in [0, 1], descending.
        labels: int64 [N]; 1 and up, label k is `class_names[k - 1]`.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    def __reduce__(self) -> tuple[object, ...]:
        # A pickled tensor takes 0.2 ms, and the processes of a training exchange many.
        arrays = (self.boxes.numpy(), self.scores.numpy(), self.labels.numpy())
        return _from_arrays, arrays


def _from_arrays(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], labels: NDArray[np.int64]
) -> Detections:
    return Detections(*map(torch.from_numpy, (boxes, scores, labels)))
