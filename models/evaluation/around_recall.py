"""False detections of two versions, averaged over the recalls around that of one of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.false_detections import FalseDetections
from models.evaluation.froc import IOU_50
from models.evaluation.intervals import Interval, percentile_interval
from models.evaluation.matching import MatchTable

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SHARE_AROUND = 0.03  # of the objects, to either side of the parent's recall
MIN_AROUND = 2  # objects, where that share is less
CHUNK_ELEMENTS = 4_000_000  # of the largest array of a few resamples


@dataclass(frozen=True, slots=True)
class FppiAroundRecall:
    """
    FPPI on negative images, averaged over neighbouring recalls on the labelled images.

    At one recall it hangs on one object's score: three trainings on one list gave 33, 9 and 25
    false detections. The mean over neighbouring recalls varies less.

    Attributes:
        lowest_recall, highest_recall: of the mean, in [0, 1].
        parent, candidate: mean FPPI; the candidate's is NaN if it never finds as many objects as
            the parent does.
        difference: candidate's minus parent's, by a bootstrap over images that is paired.
    """

    lowest_recall: float
    highest_recall: float
    parent: Interval
    candidate: Interval
    difference: Interval


@dataclass(frozen=True, slots=True)
class Version:
    """The detections of one version: on labelled images, and on negatives."""

    table: MatchTable
    negatives: FalseDetections

    @property
    def num_true(self) -> int:
        return int(self.table.is_true[IOU_50].sum())


def fppi_around_recall(
    candidate: Version,
    parent: Version,
    *,
    threshold: float,
    seed: int = 0,
    num_resamples: int = 1000,
) -> FppiAroundRecall:
    """
    Compare two versions at the recalls around the one that the parent has at `threshold`.

    The recalls are those of the parent's number of found objects, and of up to 3 % of all objects
    (at least 2) more and fewer, as far as both versions reach them. Each resample draws labelled
    images and negatives anew, once for both versions, and finds the thresholds again.

    Raises:
        ValueError: The versions were evaluated on different images, or the parent finds no object
            at `threshold`.
    """
    if not np.array_equal(candidate.table.num_objects, parent.table.num_objects):
        raise ValueError("the two versions must be evaluated on the same images")
    if candidate.negatives.num_images != parent.negatives.num_images:
        raise ValueError("the two versions must be evaluated on the same negatives")
    num_objects = int(parent.table.num_objects.sum())
    num_found = count_found(parent.table, threshold)
    if num_found == 0:
        raise ValueError(f"the parent finds no object at score {threshold}")
    steps = _steps(num_found, num_objects, min(candidate.num_true, parent.num_true))
    values = _resampled_means(candidate, parent, threshold, steps, seed, num_resamples)
    return FppiAroundRecall(
        lowest_recall=(num_found + int(steps[0])) / num_objects,
        highest_recall=(num_found + int(steps[-1])) / num_objects,
        parent=percentile_interval(float(values[0, 1]), values[1:, 1]),
        candidate=percentile_interval(float(values[0, 0]), values[1:, 0]),
        difference=percentile_interval(
            float(values[0, 0] - values[0, 1]), values[1:, 0] - values[1:, 1]
        ),
    )


def count_found(table: MatchTable, threshold: float) -> int:
    """Count the objects that are found at IoU >= 0.5 with at least this score."""
    return int((table.is_true[IOU_50] & (table.scores >= threshold)).sum())


def _steps(num_found: int, num_objects: int, num_reached: int) -> IntArray:
    """Return how many objects more or fewer each recall has than the parent's; 0 is one of them."""
    around = max(MIN_AROUND, round(SHARE_AROUND * num_objects))
    lowest = max(1, num_found - around)
    highest = max(num_found, min(num_found + around, num_reached))
    return np.arange(lowest, highest + 1) - num_found


def _resampled_means(
    candidate: Version,
    parent: Version,
    threshold: float,
    steps: IntArray,
    seed: int,
    num_resamples: int,
) -> FloatArray:
    """Compute both versions' mean FPPI, float [1 + R, 2]; row 0 is of the images as they are."""
    generator = np.random.default_rng(seed)
    labelled = _Images([candidate.table.images, parent.table.images], len(parent.table.num_objects))
    negatives = _Images(
        [candidate.negatives.images, parent.negatives.images], parent.negatives.num_images
    )
    widest = max(len(v.table.scores) + len(v.negatives.scores) for v in (candidate, parent))
    rows = max(1, CHUNK_ELEMENTS // max(1, widest))
    chunks = [_mean_fppi(candidate, parent, threshold, steps, labelled.once, negatives.once)]
    for start in range(0, num_resamples, rows):
        count = min(rows, num_resamples - start)
        drawn = labelled.draw(generator, count), negatives.draw(generator, count)
        chunks.append(_mean_fppi(candidate, parent, threshold, steps, *drawn))
    return np.concatenate(chunks)


class _Images:
    """Images to draw from; those without any detection are drawn together, as one."""

    def __init__(self, detected: list[IntArray], num_images: int) -> None:
        self._num_images = num_images
        self._seen = np.unique(np.concatenate(detected))
        self.once = np.ones((1, num_images), dtype=np.int64)

    def draw(self, generator: np.random.Generator, count: int) -> IntArray:
        """Draw resamples: int64 [R, I], the copies of each image; 0 where nothing is detected."""
        shares = np.full(len(self._seen) + 1, 1 / self._num_images)
        shares[-1] = 1 - len(self._seen) / self._num_images
        copies = np.zeros((count, self._num_images), dtype=np.int64)
        copies[:, self._seen] = generator.multinomial(self._num_images, shares, size=count)[:, :-1]
        return copies


def _mean_fppi(
    candidate: Version,
    parent: Version,
    threshold: float,
    steps: IntArray,
    labelled: IntArray,
    negatives: IntArray,
) -> FloatArray:
    """
    Compute the mean FPPI of the candidate and the parent in each resample: float [R, 2].

    A recall that one of the two does not reach in a resample is left out for both; NaN where the
    candidate does not reach the parent's own.
    """
    reference = parent.table.is_true[IOU_50] & (parent.table.scores >= threshold)
    found = labelled[:, parent.table.images[reference]].sum(axis=1)
    needed = np.maximum(1, found[:, None] + steps)
    both = np.stack(
        [_fppi_at(version, needed, labelled, negatives) for version in (candidate, parent)], axis=2
    )
    is_reached: NDArray[np.bool_] = np.isfinite(both[..., 0]) & np.isfinite(both[..., 1])
    own = is_reached[:, int(np.searchsorted(steps, 0))]
    both[~is_reached] = 0
    means: FloatArray = both.sum(axis=1) / np.maximum(1, is_reached.sum(axis=1))[:, None]
    means[~own] = np.nan
    return means


def _fppi_at(
    version: Version, needed: IntArray, labelled: IntArray, negatives: IntArray
) -> FloatArray:
    """Compute FPPI where `needed` [R, Q] objects are found: float [R, Q], NaN out of reach."""
    is_true = version.table.is_true[IOU_50]
    thresholds = np.append(version.table.scores[is_true], np.nan)
    found = labelled[:, version.table.images[is_true]].cumsum(axis=1)
    order = np.argsort(-version.negatives.scores, kind="stable")
    scores = version.negatives.scores[order]
    false = negatives[:, version.negatives.images[order]].cumsum(axis=1)
    false = np.concatenate([np.zeros((len(false), 1), dtype=np.int64), false], axis=1)
    fppi = np.empty(needed.shape)
    for row, (wanted, cumulated) in enumerate(zip(needed, found, strict=True)):
        reached = thresholds[np.searchsorted(cumulated, wanted, side="left")]
        counts = false[row, np.searchsorted(-scores, -reached, side="right")]
        fppi[row] = np.where(np.isnan(reached), np.nan, counts / version.negatives.num_images)
    return fppi
