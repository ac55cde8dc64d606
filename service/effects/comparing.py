"""The comparison of two versions' false detections on the same sealed images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hardneg.schemas.effect import Change
from models.evaluation.changes import pair_boxes
from models.evaluation.matching import FloatArray, pairwise_iou
from service.tables import Detection

SAME_IOU = 0.5  # a false detection that overlaps one of the version before so far has stayed


@dataclass(frozen=True, slots=True)
class ComparedDetection:
    """A false detection by one version or by both."""

    before: Detection | None
    after: Detection | None

    @property
    def change(self) -> Change:
        """Return the fate of the detection."""
        if self.before is None:
            return Change.NEW
        return Change.VANISHED if self.after is None else Change.STAYED

    @property
    def detection(self) -> Detection:
        """Return the detection by the version before; of a new one, that by the version after."""
        found = self.before or self.after
        assert found is not None
        return found


def compare(
    before: Mapping[int, Sequence[Detection]], after: Mapping[int, Sequence[Detection]]
) -> list[ComparedDetection]:
    """Pair detections of the same class on the same image, and return all, highest score first."""
    compared: list[ComparedDetection] = []
    for image_id in sorted(before.keys() | after.keys()):
        compared += _compare_image(before.get(image_id, ()), after.get(image_id, ()))
    return sorted(compared, key=lambda item: (-item.detection.score, item.detection.image_id))


def _compare_image(
    before: Sequence[Detection], after: Sequence[Detection]
) -> Iterable[ComparedDetection]:
    iou = pairwise_iou(_corners(before), _corners(after))
    same_class = np.array([[a.label == b.label for b in after] for a in before], dtype=bool)
    pairs = dict(pair_boxes(iou * same_class.reshape(iou.shape), SAME_IOU))
    for position, detection in enumerate(before):
        partner = pairs.get(position)
        yield ComparedDetection(detection, None if partner is None else after[partner])
    for position, detection in enumerate(after):
        if position not in pairs.values():
            yield ComparedDetection(None, detection)


def _corners(detections: Sequence[Detection]) -> FloatArray:
    boxes = [[found.x1, found.y1, found.x2, found.y2] for found in detections]
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)
