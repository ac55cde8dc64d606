"""Pairs of boxes, on overlaps that can be checked by hand."""

import numpy as np

from models.evaluation.changes import pair_boxes


def test_most_overlapping_boxes_are_paired_first() -> None:
    iou = np.array([[0.6, 0.9, 0.0], [0.0, 0.8, 0.4]])

    assert pair_boxes(iou, 0.5) == [(0, 1)]
    assert pair_boxes(iou, 0.4) == [(0, 1), (1, 2)]


def test_boxes_without_others_have_no_pairs() -> None:
    assert pair_boxes(np.zeros((0, 3)), 0.5) == []
    assert pair_boxes(np.zeros((3, 0)), 0.5) == []
