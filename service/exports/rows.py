"""The columns of CSV, JSONL and Parquet: one row for each image."""

from collections.abc import Sequence

from service.exports.images import ExportedBox, ExportedImage
from service.exports.places import Places

FOLDER = "images"

COLUMNS = (
    "file_name",
    "url",
    "image_id",
    "sha256",
    "width",
    "height",
    "split",
    "role",
    "source",
    "uploaded_as",
    "verdict",
    "rank",
    "model_version",
    "max_score",
    "log_odds",
    "objects",
)


def row_of(image: ExportedImage, places: Places) -> dict[str, object]:
    """
    Return the values of the `COLUMNS` by name.

    `file_name` and `objects` are as the `imagefolder` of Hugging Face's datasets reads them.
    """
    score = image.score
    return {
        "file_name": places.path(image),
        "url": places.url(image),
        "image_id": image.id,
        "sha256": image.sha256,
        "width": image.width,
        "height": image.height,
        "split": image.split,
        "role": image.role,
        "source": image.source,
        "uploaded_as": image.uploaded_as,
        "verdict": image.verdict,
        "rank": image.rank,
        "model_version": score.model_version if score else None,
        "max_score": score.max_score if score else None,
        "log_odds": score.log_odds if score else None,
        "objects": _objects(image.objects),
    }


def _objects(boxes: Sequence[ExportedBox]) -> dict[str, object]:
    """Return the boxes as x, y, width and height, and their classes; empty for a negative."""
    return {
        "bbox": [[box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1] for box in boxes],
        "category": [box.label for box in boxes],
    }
