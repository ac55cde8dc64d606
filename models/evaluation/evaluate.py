"""Evaluation of a detector on labelled and on negative images, and against its parent."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from models.data.datasets import LabelledImage
from models.data.ground_truth import GroundTruth
from models.detectors import Detector, PreparedImage
from models.detectors.detections import Detections
from models.evaluation.around_recall import FppiAroundRecall, Version, fppi_around_recall
from models.evaluation.average_precision import (
    AveragePrecision,
    average_precision,
    bootstrap_ap_difference,
)
from models.evaluation.false_detections import FalseDetections
from models.evaluation.froc import FppiAtRecall, fppi_at_recall, recall_at
from models.evaluation.intervals import Interval
from models.evaluation.matching import MatchTable, match
from models.inference.predict import Prediction, predict, prepare

PREPARED_CAPACITY_BYTES = 1 << 30


class EvaluationImages:
    """
    Images prepared for a detector exactly as for scoring, and kept up to a limit of memory.

    Use it to evaluate the same images after every epoch; detectors of one spec can share it.
    """

    def __init__(
        self,
        detector: Detector,
        images: Sequence[LabelledImage],
        *,
        capacity_bytes: int = PREPARED_CAPACITY_BYTES,
    ) -> None:
        self._images = images
        self._detector = detector
        self._free_bytes = capacity_bytes
        self._prepared: dict[int, PreparedImage] = {}

    def __len__(self) -> int:
        return len(self._images)

    @property
    def truths(self) -> list[GroundTruth]:
        return [image.truth for image in self._images]

    def __getitem__(self, index: int) -> PreparedImage:
        """Return one prepared image. Raises `UnreadableImageError` for a damaged one."""
        prepared = self._prepared.get(index)
        if prepared is None:
            prepared = prepare(self._detector, self._images[index].read())
            if prepared.pixels.nbytes <= self._free_bytes:
                self._free_bytes -= prepared.pixels.nbytes
                self._prepared[index] = prepared
        return prepared


def predict_all(
    detector: Detector, images: EvaluationImages, *, batch_size: int = 16
) -> list[Prediction]:
    """Score all images in order, in eval mode; restore the detector's mode afterwards."""
    was_training = detector.training
    detector.eval()
    predictions: list[Prediction] = []
    try:
        for start in range(0, len(images), batch_size):
            stop = min(start + batch_size, len(images))
            predictions += predict(detector, [images[index] for index in range(start, stop)])
    finally:
        detector.train(was_training)
    return predictions


@dataclass(frozen=True)
class Evaluation:
    """
    A detector's detections on labelled images and on negatives, the source of every figure.

    Figures are valid for score thresholds from the spec's `score_threshold` up: the detector drops
    all detections below it.

    Attributes:
        num_classes: K.
        truths: objects of the labelled images.
        labelled: detections on them, in the same order.
        negatives: detections on the negative images, if there are any.
    """

    num_classes: int
    truths: tuple[GroundTruth, ...]
    labelled: tuple[Detections, ...]
    negatives: tuple[Detections, ...]

    @cached_property
    def average_precision(self) -> AveragePrecision:
        return average_precision(self.labelled, self.truths, self.num_classes)

    @cached_property
    def matches(self) -> MatchTable:
        return match(self.labelled, self.truths, self.num_classes)

    @cached_property
    def false_detections(self) -> FalseDetections:
        """The detections on negative images. Raises ValueError if there were none."""
        return FalseDetections.of(self.negatives)

    def recall(self, threshold: float) -> Interval:
        """Return the share of objects found at IoU >= 0.5 with at least this score."""
        return recall_at(self.matches, threshold)


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    A version against its parent, on the same images.

    Attributes:
        parent: false detections of the parent, at the recall it has at the score threshold.
        candidate: false detections of the version at that recall, at whatever threshold.
        around: false detections of both, averaged over the recalls around that one.
        ap50_95_difference: candidate's minus parent's, by paired bootstrap.
    """

    parent: FppiAtRecall
    candidate: FppiAtRecall
    around: FppiAroundRecall
    ap50_95_difference: Interval


def evaluate(
    detector: Detector, labelled: Sequence[LabelledImage], negatives: Sequence[LabelledImage]
) -> Evaluation:
    """Run the detector, in eval mode, over both sets of images."""
    found = [
        tuple(
            prediction.detections
            for prediction in predict_all(detector, EvaluationImages(detector, images))
        )
        for images in (labelled, negatives)
    ]
    return Evaluation(
        num_classes=len(detector.spec.class_names),
        truths=tuple(image.truth for image in labelled),
        labelled=found[0],
        negatives=found[1],
    )


def compare(
    candidate: Evaluation, parent: Evaluation, *, threshold: float = 0.5, seed: int = 0
) -> Comparison:
    """
    Compare a version with its parent at thresholds where both find as many objects.

    Raises:
        ValueError: The two were evaluated on different images, or the parent finds nothing at
            `threshold`: then there is no recall to compare at.
    """
    recall = parent.recall(threshold).value
    if recall == 0:
        raise ValueError(f"the parent finds no object at score {threshold}")
    return Comparison(
        parent=fppi_at_recall(parent.matches, parent.false_detections, recall, seed=seed),
        candidate=fppi_at_recall(candidate.matches, candidate.false_detections, recall, seed=seed),
        around=fppi_around_recall(
            Version(candidate.matches, candidate.false_detections),
            Version(parent.matches, parent.false_detections),
            threshold=threshold,
            seed=seed,
        ),
        ap50_95_difference=bootstrap_ap_difference(candidate.matches, parent.matches, seed=seed),
    )
