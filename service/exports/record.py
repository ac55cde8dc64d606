"""The file `hardneg.jsonl` of every export: what the service knows of each image, line by line."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import orjson

from service.exports.images import ExportedBox, ExportedImage, ScoreByVersion
from service.exports.places import Places
from service.tables import BoxJudgement

RECORD_NAME = "hardneg.jsonl"


def recorded(
    images: Iterable[ExportedImage], places: Places, file: BinaryIO
) -> Iterator[ExportedImage]:
    """Pass images on, and write a line for each."""
    for image in images:
        file.write(orjson.dumps(_line(image, places), option=orjson.OPT_APPEND_NEWLINE))
        yield image


def _line(image: ExportedImage, places: Places) -> dict[str, object]:
    return {
        "file_name": places.path(image),
        "url": places.url(image),
        "image_id": image.id,
        "sha256": image.sha256,
        "split": image.split,
        "role": image.role,
        "source": image.source,
        "uploaded_as": image.uploaded_as,
        "width": image.width,
        "height": image.height,
        "num_objects": len(image.objects),
        "verdict": image.verdict,
        "verdict_by": None,  # the service does not know its users
        "judged_boxes": [_judged(judged) for judged in image.judged],
        "rank": image.rank,
        **_score(image.score),
    }


def _score(score: ScoreByVersion | None) -> dict[str, object]:
    if score is None:
        return {"model_version": None, "max_score": None, "log_odds": None, "detections": []}
    return {
        "model_version": score.model_version,
        "max_score": score.max_score,
        "log_odds": score.log_odds,
        "detections": [_detection(box) for box in score.detections],
    }


def _detection(box: ExportedBox) -> dict[str, object]:
    return {"label": box.label, "score": box.score, "box": _corners(box)}


def _judged(judged: BoxJudgement) -> dict[str, object]:
    return {
        "label": judged.class_name,
        "is_object": judged.is_object,
        "box": _corners(judged),
    }


def _corners(box: ExportedBox | BoxJudgement) -> dict[str, float]:
    return {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2}
