"""Boxes on one image that two detectors share."""

import numpy as np

from models.evaluation.matching import FloatArray


def pair_boxes(iou: FloatArray, min_iou: float) -> list[tuple[int, int]]:
    """
    Pair boxes with others, the most overlapping first; each has at most one partner.

    Args:
        iou: float [N, M], boxes against others.
        min_iou: a pair overlaps at least so much.

    Returns:
        Positions of a box and its partner.
    """
    pairs: list[tuple[int, int]] = []
    free, others_free = np.ones(iou.shape[0], dtype=bool), np.ones(iou.shape[1], dtype=bool)
    for index in np.argsort(-iou, axis=None, kind="stable"):
        box, other = (int(i) for i in np.unravel_index(index, iou.shape))
        if iou[box, other] < min_iou:
            break
        if free[box] and others_free[other]:
            pairs.append((box, other))
            free[box] = others_free[other] = False
    return pairs
