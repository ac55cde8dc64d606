"""Stored boxes as the ground truth that detectors train on and are measured against."""

from collections.abc import Sequence

import torch

from models.data.ground_truth import GroundTruth
from service.tables import LabelledBox


def ground_truth(boxes: Sequence[LabelledBox], class_names: Sequence[str]) -> GroundTruth:
    """
    Return the objects of one image from its stored boxes.

    Objects of a class that is not in `class_names`, which the detector does not know, are left
    out.
    """
    known = [box for box in boxes if box.class_name in class_names]
    return GroundTruth(
        torch.tensor([[box.x1, box.y1, box.x2, box.y2] for box in known]).reshape(-1, 4),
        torch.tensor([class_names.index(box.class_name) + 1 for box in known], dtype=torch.int64),
    )
