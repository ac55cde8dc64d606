"""Rows and predictions as clients see them."""

from collections.abc import Sequence

from hardneg.schemas.images import Box, DetectionOut, ImageLinks, ImageOut, ScoredImageOut, ScoreOut
from service.scoring.engine import LoadedVersion
from service.scoring.results import ScoreResult, ScoringFailure
from service.tables import Detection, Image, ImageScore, ModelVersion

NOT_SCORED = ScoreOut(model_version=None, max_score=None, log_odds=None, detections=[])


def image_path(image_id: int) -> str:
    return f"/images/{image_id}"


def image_links(image_id: int) -> ImageLinks:
    path = image_path(image_id)
    return ImageLinks(self=path, content=f"{path}/content", thumbnail=f"{path}/thumbnail")


def image_out(image: Image) -> ImageOut:
    return ImageOut.model_validate(
        {**_columns(image), "links": image_links(image.id)}, from_attributes=True
    )


def scored_image_out(image: Image, score: ScoreOut) -> ScoredImageOut:
    return ScoredImageOut.model_validate({**dict(image_out(image)), **dict(score)})


def stored_score(
    version: ModelVersion, score: ImageScore, detections: Sequence[Detection]
) -> ScoreOut:
    return ScoreOut(
        model_version=version.name,
        max_score=score.max_score,
        log_odds=score.log_odds,
        detections=[
            _detection(version.class_names, d.label, d.score, (d.x1, d.y1, d.x2, d.y2))
            for d in detections
        ],
        failure=score.failure,
    )


def fresh_score(version: LoadedVersion, outcome: ScoreResult) -> ScoreOut:
    if isinstance(outcome, ScoringFailure):
        return NOT_SCORED.model_copy(
            update={"model_version": version.name, "failure": outcome.reason}
        )
    found = outcome.detections
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    return ScoreOut(
        model_version=version.name,
        max_score=outcome.max_score,
        log_odds=outcome.log_odds,
        detections=[_detection(version.detector.spec.class_names, *row) for row in rows],
    )


def _detection(
    class_names: Sequence[str], label: int, score: float, box: Sequence[float]
) -> DetectionOut:
    x1, y1, x2, y2 = box
    return DetectionOut(
        label=class_names[label - 1], score=score, box=Box(x1=x1, y1=y1, x2=x2, y2=y2)
    )


def _columns(image: Image) -> dict[str, object]:
    names = ImageOut.model_fields.keys() - {"links"}
    return {name: getattr(image, name) for name in names}
