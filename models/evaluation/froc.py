"""Recall against false detections per image: FROC, and false detections at a fixed recall."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.false_detections import FalseDetections
from models.evaluation.intervals import Interval, bootstrap_mean, wilson
from models.evaluation.matching import MatchTable

FloatArray = NDArray[np.float64]

IOU_50 = 0  # row of MatchTable.is_true that belongs to IoU 0.5


@dataclass(frozen=True, slots=True)
class Froc:
    """
    The free-response operating curve, from the highest threshold to the lowest.

    Attributes:
        thresholds: float [P], descending; the distinct scores of all detections.
        recall: float [P], share of the labelled objects found at IoU >= 0.5.
        fppi: float [P], false detections per image, over labelled and negative images together.
    """

    thresholds: FloatArray
    recall: FloatArray
    fppi: FloatArray


@dataclass(frozen=True, slots=True)
class FppiAtRecall:
    """
    The false detections on negatives at the threshold that gives a fixed recall.

    Attributes:
        threshold: highest score threshold that reaches the recall; NaN if none does.
        recall: recall at that threshold, with Wilson's interval.
        fppi: FPPI on negative images at that threshold, with its bootstrap interval; NaN if no
            threshold reaches the recall.
    """

    threshold: float
    recall: Interval
    fppi: Interval


def recall_at(table: MatchTable, threshold: float) -> Interval:
    """
    Return the share of objects found at IoU >= 0.5 by detections with at least `threshold`.

    Raises:
        ValueError: There are no objects.
    """
    num_found = int(table.is_true[IOU_50, table.scores >= threshold].sum())
    return wilson(num_found, int(table.num_objects.sum()))


def froc(table: MatchTable, negatives: FalseDetections) -> Froc:
    """
    Trace recall and FPPI as the score threshold falls.

    False detections are unmatched ones on labelled images and all on negatives.

    Args:
        table: the labelled images' detections, matched with IoU 0.5 as the first threshold.
        negatives: the negative images' detections.

    Raises:
        ValueError: There are no objects.

    Source:
        Chakraborty 1989, "Maximum likelihood analysis of free-response receiver operating
        characteristic (FROC) data", here with empirical points, without a fit.
    """
    num_objects = int(table.num_objects.sum())
    if num_objects == 0:
        raise ValueError("FROC needs at least one labelled object")
    scores = np.concatenate([table.scores, negatives.scores])
    is_true = np.concatenate([table.is_true[IOU_50], np.zeros(len(negatives.scores), dtype=bool)])
    order = np.argsort(-scores, kind="stable")
    scores, is_true = scores[order], is_true[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(scores)])
    num_images = len(table.num_objects) + negatives.num_images
    return Froc(
        thresholds=scores[last],
        recall=is_true.cumsum()[last] / num_objects,
        fppi=(~is_true).cumsum()[last] / num_images,
    )


def recall_at_fppi(curve: Froc, fppi: float) -> float:
    """Return the highest recall at no more than `fppi` false detections per image, or 0."""
    affordable = curve.recall[curve.fppi <= fppi]
    return float(affordable.max()) if len(affordable) else 0.0


def threshold_at_recall(table: MatchTable, recall: float) -> float:
    """
    Return the highest score threshold that finds at least `recall` of the objects.

    It is NaN if no threshold does. IoU is 0.5; `recall` is in (0, 1].
    """
    if not 0 < recall <= 1:
        raise ValueError(f"{recall=} must lie in (0, 1]")
    true_scores = table.scores[table.is_true[IOU_50]]
    # 1e-9: rounding of a recall computed by the same division must not add an object.
    num_needed = int(np.ceil(recall * int(table.num_objects.sum()) - 1e-9))
    if num_needed == 0 or num_needed > len(true_scores):
        return float("nan")
    return float(true_scores[num_needed - 1])


def fppi_at_recall(
    table: MatchTable, negatives: FalseDetections, recall: float, *, seed: int = 0
) -> FppiAtRecall:
    """
    Measure false detections per negative image at the threshold that gives `recall`.

    With the parent's recall, this compares two versions whose scores are scaled differently. The
    interval is that of FPPI with the threshold held fixed.
    """
    threshold = threshold_at_recall(table, recall)
    if np.isnan(threshold):
        missing = Interval(float("nan"), float("nan"), float("nan"))
        return FppiAtRecall(threshold, recall_at(table, 0.0), missing)
    counts = negatives.counts(np.array([threshold]))[0]
    return FppiAtRecall(threshold, recall_at(table, threshold), bootstrap_mean(counts, seed=seed))
