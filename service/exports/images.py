"""An image on its way into an export, and the boxes on it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.exports.names import exported_name
from service.scoring.store import FoundBox
from service.tables import BoxJudgement, Image, LabelledBox


@dataclass(frozen=True, slots=True)
class ExportedBox:
    """A box in pixels of the upright image; `score` is that of a detection, None for an object."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    score: float | None = None


@dataclass(frozen=True, slots=True)
class ScoreByVersion:
    """The score and detections of an image by a model version."""

    model_version: str
    max_score: float | None
    log_odds: float | None
    detections: Sequence[ExportedBox]


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """
    One image of an export.

    Attributes:
        name: its file name in the export, as `exported_name` gives it.
        uploaded_as: its file name when it was uploaded.
        role: labelled, kept or mined; an image of the ranked list is mined, or judged if it has
            judged objects.
        rank: its place in the ranked list; None in a training list.
        score: None for an image that the version has not scored, such as a labelled one.
        objects: the labelled or judged boxes; none on a negative.
        judged: a person's verdicts on single boxes.
    """

    id: int
    name: str
    sha256: str
    blob_key: str
    size_bytes: int
    width: int
    height: int
    split: str
    source: str
    uploaded_as: str
    verdict: str | None
    role: str
    rank: int | None
    score: ScoreByVersion | None
    objects: Sequence[ExportedBox] = ()
    judged: Sequence[BoxJudgement] = ()


def exported_image(
    image: Image,
    *,
    role: str,
    rank: int | None = None,
    score: ScoreByVersion | None = None,
    objects: Sequence[ExportedBox] = (),
    judged: Sequence[BoxJudgement] = (),
) -> ExportedImage:
    """Return a stored image as it is exported."""
    return ExportedImage(
        id=image.id,
        name=exported_name(image.file_name, image.sha256, image.media_type),
        sha256=image.sha256,
        blob_key=image.blob_key,
        size_bytes=image.size_bytes,
        width=image.width,
        height=image.height,
        split=image.split,
        source=image.source,
        uploaded_as=image.file_name,
        verdict=image.verdict,
        role=role,
        rank=rank,
        score=score,
        objects=objects,
        judged=judged,
    )


def labelled_objects(boxes: Iterable[LabelledBox]) -> list[ExportedBox]:
    """Return the labelled boxes of an image."""
    return [ExportedBox(box.class_name, box.x1, box.y1, box.x2, box.y2) for box in boxes]


def judged_objects(judged: Iterable[BoxJudgement]) -> list[ExportedBox]:
    """Return the boxes that a person judged to be objects."""
    return [
        ExportedBox(box.class_name, box.x1, box.y1, box.x2, box.y2)
        for box in judged
        if box.is_object and box.class_name is not None
    ]


def detected_boxes(
    found: Iterable[FoundBox], class_names: Sequence[str]
) -> Mapping[int, Sequence[ExportedBox]]:
    """
    Return detections by image; an image without any has none.

    Label k is `class_names[k - 1]`.
    """
    boxes: dict[int, list[ExportedBox]] = defaultdict(list)
    for row in found:
        name = class_names[row.label - 1]
        boxes[row.image_id].append(ExportedBox(name, row.x1, row.y1, row.x2, row.y2, row.score))
    return boxes
