"""The detections of one image."""

from dataclasses import dataclass

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
