"""Images and their scores as clients see them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from hardneg.schemas.images import (
    Box,
    DetectionOut,
    ImageOut,
    JudgedBox,
    JudgedImageOut,
    ScoredImageOut,
    ScoreOut,
    UploadItem,
)
from service.errors import problem_of
from service.images.ingest import IngestedFile
from service.images.store import IMAGE_COLUMNS
from service.scoring.engine import LoadedVersion
from service.scoring.results import ScoreResult, ScoringFailure
from service.scoring.store import FoundBox
from service.tables import BoxJudgement, Image, ModelVersion

NOT_SCORED = ScoreOut(model_version=None, max_score=None, log_odds=None, detections=[])


def image_json(columns: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of an `ImageOut`, given its `IMAGE_COLUMNS` by name."""
    path = f"/images/{columns['id']}"
    links = {"self": path, "content": f"{path}/content", "thumbnail": f"{path}/thumbnail"}
    return {**columns, "links": links}


def image_out(image: Image) -> ImageOut:
    """Return an image without its score."""
    return ImageOut.model_validate(image_json(_columns(image)))


def judged_image_out(image: Image, judged: Sequence[BoxJudgement]) -> JudgedImageOut:
    """Return an image with a person's verdicts on its boxes."""
    boxes = [_judged_box(box) for box in judged]
    return JudgedImageOut.model_validate(image_json(_columns(image)) | {"judged_boxes": boxes})


def scored_image_out(
    image: Image, score: ScoreOut, judged: Sequence[BoxJudgement] = ()
) -> ScoredImageOut:
    """Return an image with its score and a person's verdicts on its boxes."""
    boxes = [_judged_box(box) for box in judged]
    fields = image_json(_columns(image)) | dict(score) | {"judged_boxes": boxes}
    return ScoredImageOut.model_validate(fields)


def _judged_box(judged: BoxJudgement) -> JudgedBox:
    box = Box(x1=judged.x1, y1=judged.y1, x2=judged.x2, y2=judged.y2)
    return JudgedBox(box=box, is_object=judged.is_object, label=judged.class_name)


def score_out(version: ModelVersion | LoadedVersion | None, result: ScoreResult | None) -> ScoreOut:
    """Return the score that a version gave an image; nulls where there is none."""
    if version is None or result is None:
        return NOT_SCORED
    if isinstance(result, ScoringFailure):
        return NOT_SCORED.model_copy(
            update={"model_version": version.name, "failure": result.reason}
        )
    names = (
        version.class_names
        if isinstance(version, ModelVersion)
        else version.detector.spec.class_names
    )
    found = result.detections
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    return ScoreOut(
        model_version=version.name,
        max_score=result.max_score,
        log_odds=result.log_odds,
        detections=[_detection_out(names[label - 1], score, box) for label, score, box in rows],
    )


def upload_item(file: IngestedFile, version: LoadedVersion | None, *, is_async: bool) -> UploadItem:
    """Return what became of one file of an upload that `version` scored."""
    if file.error is not None:
        status = file.error.status
    elif not file.is_new:
        status = HTTPStatus.OK
    else:
        status = HTTPStatus.ACCEPTED if is_async else HTTPStatus.CREATED
    score = score_out(version, file.score)
    return UploadItem(
        file_name=file.file_name,
        status=status,
        image=scored_image_out(file.image, score) if file.image is not None else None,
        problem=problem_of(file.error) if file.error is not None else None,
    )


def _columns(image: Image) -> dict[str, object]:
    return {name: getattr(image, name) for name in IMAGE_COLUMNS}


def detections_by_image(
    found: Sequence[FoundBox], class_names: Sequence[str]
) -> Mapping[int, list[DetectionOut]]:
    """Return stored detections by image id; an image without any has an empty list."""
    by_image: dict[int, list[DetectionOut]] = defaultdict(list)
    for box in found:
        corners = (box.x1, box.y1, box.x2, box.y2)
        by_image[box.image_id].append(
            _detection_out(class_names[box.label - 1], box.score, corners)
        )
    return by_image


def _detection_out(label: str, score: float, box: Sequence[float]) -> DetectionOut:
    x1, y1, x2, y2 = box
    return DetectionOut(label=label, score=score, box=Box(x1=x1, y1=y1, x2=x2, y2=y2))
