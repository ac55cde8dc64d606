"""Label Studio tasks: a negative is a task with an annotation that has no result."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import orjson

from hardneg.schemas.exports import ExportedImages
from service.exports.images import ExportedBox, ExportedImage, ScoreByVersion
from service.exports.places import Places

FOLDER = "images"
LOCAL_FILE = "/data/local-files/?d="  # below the folder that Label Studio is told to serve


def write_label_studio(
    folder: Path, images: Iterable[ExportedImage], class_names: Sequence[str], places: Places
) -> None:
    """
    Write `tasks.json`, and `label-config.xml` for the project's labelling interface.

    The detections of the model version are predictions, so that a person sees what misled it.
    """
    with (folder / "tasks.json").open("wb") as file:
        file.write(b"[")
        for position, image in enumerate(images):
            file.write(b",\n" if position else b"\n")
            file.write(orjson.dumps(_task(image, places)))
        file.write(b"\n]\n")
    (folder / "label-config.xml").write_text(_label_config(class_names), encoding="utf-8")


def _task(image: ExportedImage, places: Places) -> dict[str, object]:
    inside = places.images is ExportedImages.INSIDE
    return {
        "data": {
            "image": LOCAL_FILE + quote(places.path(image)) if inside else places.url(image),
            "sha256": image.sha256,
            "image_id": image.id,
            "verdict": image.verdict,
        },
        "annotations": [{"result": [_result(image, box) for box in image.objects]}],
        "predictions": [_prediction(image, image.score)] if image.score else [],
    }


def _prediction(image: ExportedImage, score: ScoreByVersion) -> dict[str, object]:
    return {
        "model_version": score.model_version,
        "score": score.max_score,
        "result": [_result(image, box) for box in score.detections],
    }


def _result(image: ExportedImage, box: ExportedBox) -> dict[str, object]:
    """Return a box; Label Studio counts in per cent of the image."""
    result: dict[str, object] = {
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": image.width,
        "original_height": image.height,
        "value": {
            "x": 100 * box.x1 / image.width,
            "y": 100 * box.y1 / image.height,
            "width": 100 * (box.x2 - box.x1) / image.width,
            "height": 100 * (box.y2 - box.y1) / image.height,
            "rotation": 0,
            "rectanglelabels": [box.label],
        },
    }
    return result if box.score is None else {**result, "score": box.score}


def _label_config(class_names: Sequence[str]) -> str:
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in class_names)
    return (
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <RectangleLabels name="label" toName="image">\n{labels}  </RectangleLabels>\n</View>\n'
    )
