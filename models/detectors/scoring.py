"""The parts of a detector that scoring needs, whoever trained it."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from models.detectors.detector import Dense, PreparedImage, ScoredImage


class ScoringSpec(Protocol):
    """
    What is known of every detector.

    Attributes:
        architecture: shown to people; it names the family where it is not one of ours.
        class_names: object classes in label order; label k is `class_names[k - 1]`.
        input_size: (height, width) in pixels.
        score_threshold: detections below it are dropped, in [0, 1].
    """

    @property
    def architecture(self) -> str: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def input_size(self) -> tuple[int, int]: ...
    @property
    def score_threshold(self) -> float: ...


class ScoringDetector(Protocol):
    """
    A detector in evaluation mode, ready to score.

    `preprocess` may be called from many threads at once, and `score_images` from several.
    """

    @property
    def spec(self) -> ScoringSpec: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def training(self) -> bool: ...

    def decode_size(self, height: int, width: int) -> tuple[int, int] | None:
        """Return the (height, width) that is enough of an image of these sides; None for all."""

    def preprocess(
        self, image: Tensor, original_size: tuple[int, int] | None = None
    ) -> PreparedImage:
        """Bring one upright image, uint8 [3, H, W], to the size that the network takes."""

    def padded_size(self, image: PreparedImage) -> tuple[int, int]:
        """Return the (height, width) that an image takes in a batch; those of one go together."""

    def score_images(
        self, images: Sequence[PreparedImage], min_score: float = 0.0, dense: Dense | None = None
    ) -> list[ScoredImage]:
        """
        Return each image's highest log-odds before any threshold, and its detections.

        Detections are those above the spec's threshold, and above `min_score` if that is higher.
        What an image gets does not depend on the others.
        """
