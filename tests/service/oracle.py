"""The figures of a version, computed by plain loops over the boxes in the database."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.tables import Detection, Image, LabelledBox, ModelVersion

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Found:
    """A stored detection."""

    image_id: int
    label: str
    score: float
    box: Box


class Oracle:
    """The stored boxes of a version, and figures counted from them."""

    def __init__(self, session: Session, version_id: int) -> None:
        version = session.get(ModelVersion, version_id)
        assert version is not None
        self.objects: dict[tuple[int, str], list[Box]] = defaultdict(list)
        for labelled in session.scalars(
            select(LabelledBox).join(Image).where(Image.split == "val")
        ):
            box = (labelled.x1, labelled.y1, labelled.x2, labelled.y2)
            self.objects[labelled.image_id, labelled.class_name].append(box)
        self.on_val: list[Found] = []
        self.on_negatives: list[Found] = []
        rows = session.execute(
            select(Image.split, Detection)
            .join(Detection, Detection.image_id == Image.id)
            .where(Detection.model_version_id == version_id)
        )
        for split, row in rows:
            label = version.class_names[row.label - 1]
            found = Found(row.image_id, label, row.score, (row.x1, row.y1, row.x2, row.y2))
            if split == "val":
                self.on_val.append(found)
            elif split == "negative-test":
                self.on_negatives.append(found)

    def false_detections(self, threshold: float) -> list[Found]:
        """Return every detection on a sealed image: all are false."""
        return [found for found in self.on_negatives if found.score >= threshold]

    def recall(self, threshold: float) -> float:
        """Match each detection at most once at IoU 0.5; return the share of objects found."""
        hits = 0
        for label in self._labels():
            kept = [found for found in self.on_val if found.score >= threshold]
            hits += sum(self._hits(kept, label, min_overlap=0.5))
        return hits / sum(len(boxes) for boxes in self.objects.values())

    def threshold_at(self, recall: float) -> float | None:
        """Try scores from the highest down until enough objects are found."""
        scores = sorted({found.score for found in self.on_val}, reverse=True)
        return next((score for score in scores if self.recall(score) >= recall - 1e-9), None)

    def fppi_around(self, recalls: Sequence[float]) -> float:
        """Average false detections per sealed image over recalls, leaving out those unreached."""
        thresholds = [self.threshold_at(recall) for recall in recalls]
        reached = [len(self.false_detections(t)) for t in thresholds if t is not None]
        return sum(reached) / len(reached) / 6

    def ap50(self) -> float:
        return self._mean_precision([0.5])

    def ap50_95(self) -> float:
        return self._mean_precision([0.5 + 0.05 * step for step in range(10)])

    def _mean_precision(self, overlaps: Sequence[float]) -> float:
        values = [
            self._average_precision(label, overlap)
            for label in self._labels()
            for overlap in overlaps
        ]
        return sum(values) / len(values)

    def _average_precision(self, label: str, min_overlap: float) -> float:
        """Average the precision at recalls 0, 0.01, …, 1: the best at that recall or higher."""
        count = sum(len(boxes) for (_, name), boxes in self.objects.items() if name == label)
        recalls, precisions, num_hits = [], [], 0
        for rank, is_hit in enumerate(self._hits(self.on_val, label, min_overlap), 1):
            num_hits += is_hit
            recalls.append(num_hits / count)
            precisions.append(num_hits / rank)
        total = 0.0
        for step in range(101):
            reached = [p for r, p in zip(recalls, precisions, strict=True) if r >= step / 100]
            total += max(reached, default=0.0)
        return total / 101

    def _hits(self, found: Sequence[Found], label: str, min_overlap: float) -> list[bool]:
        """Return for each detection of a class, best first, whether it matches a free object."""
        free = {key: list(boxes) for key, boxes in self.objects.items()}
        hits = []
        for item in sorted(found, key=lambda item: -item.score):
            if item.label != label:
                continue
            boxes = free.get((item.image_id, label), [])
            best = max(boxes, key=lambda box: overlap(box, item.box), default=None)
            is_hit = best is not None and overlap(best, item.box) >= min_overlap
            if is_hit:
                assert best is not None
                boxes.remove(best)
            hits.append(is_hit)
        return hits

    def _labels(self) -> list[str]:
        return sorted({label for _, label in self.objects})


def overlap(first: Box, second: Box) -> float:
    """Return the intersection over union of two boxes."""
    width = max(0.0, min(first[2], second[2]) - max(first[0], second[0]))
    height = max(0.0, min(first[3], second[3]) - max(first[1], second[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / (sum(areas) - width * height)
