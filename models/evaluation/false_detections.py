"""False detections on negative images, at any score threshold, with 95 % intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.detectors.detections import Detections
from models.evaluation.intervals import Interval, bootstrap_mean, wilson

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FalseDetections:
    """
    All detections on negative images; all of them are false.

    Attributes:
        scores: float [D] in [0, 1].
        labels: int64 [D].
        images: int64 [D], the position of each detection's image in 0..num_images - 1.
        num_images: number of images, including those without detections.
    """

    scores: FloatArray
    labels: IntArray
    images: IntArray
    num_images: int

    def __post_init__(self) -> None:
        if not len(self.scores) == len(self.labels) == len(self.images):
            raise ValueError(
                f"{len(self.scores)=}, {len(self.labels)=} and {len(self.images)=} must be equal"
            )
        if self.num_images < 1:
            raise ValueError("false detections need at least one image")
        if len(self.images) and not 0 <= self.images.min() <= self.images.max() < self.num_images:
            raise ValueError(f"images must lie in 0..{self.num_images - 1}")

    @classmethod
    def of(cls, detections: Sequence[Detections]) -> "FalseDetections":
        """Collect the detections of negative images, one item per image."""
        scores = [np.zeros(0), *(found.scores.detach().cpu().numpy() for found in detections)]
        labels = [np.zeros(0), *(found.labels.detach().cpu().numpy() for found in detections)]
        return cls(
            scores=np.concatenate(scores).astype(np.float64),
            labels=np.concatenate(labels).astype(np.int64),
            images=np.repeat(np.arange(len(detections)), [len(found) for found in detections]),
            num_images=len(detections),
        )

    def counts(self, thresholds: FloatArray) -> IntArray:
        """Count each image's detections that reach each threshold: int64 [T, I]."""
        counts = np.zeros((len(thresholds), self.num_images), dtype=np.int64)
        for row, threshold in zip(counts, thresholds, strict=True):
            np.add.at(row, self.images[self.scores >= threshold], 1)
        return counts


@dataclass(frozen=True, slots=True)
class FalseDetectionStats:
    """
    False detections at one score threshold.

    Attributes:
        threshold: detections with at least this score count.
        num_images: number of negative images.
        num_false_detections: their number; the interval is FPPI's times the number of images.
        fppi: false detections per image, with its bootstrap interval over images.
        share_of_images: images with at least one, with Wilson's interval.
        fppi_by_class: FPPI of each class, in label order.
    """

    threshold: float
    num_images: int
    num_false_detections: Interval
    fppi: Interval
    share_of_images: Interval
    fppi_by_class: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """
    Negative images by their highest score.

    Attributes:
        edges: float [B + 1], ascending; the last bin includes its upper edge.
        num_images: images per bin; images without detections are in the first one.
        share_of_images: share of all images per bin, with Wilson's intervals.
    """

    edges: tuple[float, ...]
    num_images: tuple[int, ...]
    share_of_images: tuple[Interval, ...]


def false_detection_stats(
    found: FalseDetections, threshold: float, num_classes: int, *, seed: int = 0
) -> FalseDetectionStats:
    """
    Count false detections at `threshold`; the same seed gives the same intervals.

    Raises:
        ValueError: A label is outside 1..num_classes.
    """
    if len(found.labels) and not 1 <= found.labels.min() <= found.labels.max() <= num_classes:
        raise ValueError(f"labels {np.unique(found.labels)} must lie in 1..{num_classes}")
    counts = np.zeros((found.num_images, num_classes), dtype=np.int64)
    chosen = found.scores >= threshold
    np.add.at(counts, (found.images[chosen], found.labels[chosen] - 1), 1)
    per_image = counts.sum(axis=1)
    fppi = bootstrap_mean(per_image, seed=seed)
    return FalseDetectionStats(
        threshold=threshold,
        num_images=found.num_images,
        num_false_detections=fppi.scaled(found.num_images),
        fppi=fppi,
        share_of_images=wilson(int((per_image > 0).sum()), found.num_images),
        fppi_by_class=tuple(bootstrap_mean(column, seed=seed) for column in counts.T),
    )


def fppi_curve(
    found: FalseDetections, thresholds: FloatArray, *, seed: int = 0
) -> tuple[Interval, ...]:
    """Compute FPPI with its interval at each of many thresholds."""
    return tuple(bootstrap_mean(counts, seed=seed) for counts in found.counts(thresholds))


def score_histogram(found: FalseDetections, *, num_bins: int = 20) -> ScoreHistogram:
    """Sort negative images into equal bins of [0, 1] by their highest score."""
    highest = np.zeros(found.num_images)
    np.maximum.at(highest, found.images, found.scores)
    num_images, edges = np.histogram(highest, bins=num_bins, range=(0, 1))
    return ScoreHistogram(
        edges=tuple(edges.tolist()),
        num_images=tuple(num_images.tolist()),
        share_of_images=tuple(wilson(int(number), found.num_images) for number in num_images),
    )
