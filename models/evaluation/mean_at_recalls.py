"""False detections of a version, averaged over the recalls of a few objects."""

import numpy as np

from models.evaluation.around_recall import Version
from models.evaluation.froc import IOU_50

NUM_RECALLS = 5  # of the mean: the wanted one, and those of one to four objects fewer


def mean_false_detections(version: Version, num_found: int) -> float:
    """
    Return the mean number of false detections where about as many objects are found.

    It is the mean over thresholds at which the version finds `num_found` of the labelled objects,
    and one to four fewer, as far as at least one is left. All versions that are asked for equally
    many objects can be compared by it; NaN for one that never finds them.
    """
    if num_found < 1:
        raise ValueError(f"{num_found=} must be at least 1")
    true_scores = version.table.scores[version.table.is_true[IOU_50]]
    if num_found > len(true_scores):
        return float("nan")
    lowest = max(1, num_found - NUM_RECALLS + 1)
    thresholds = np.asarray(true_scores[lowest - 1 : num_found])
    counts = (version.negatives.scores[None, :] >= thresholds[:, None]).sum(axis=1)
    return float(counts.mean())
