"""COCO instances; a negative is an image without annotations."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from service.exports.images import ExportedImage
from service.exports.places import Places

FOLDER = "images"


def write_coco(
    folder: Path, images: Iterable[ExportedImage], class_names: Sequence[str], places: Places
) -> None:
    """Write `annotations.json`; file names are those in the folder of images."""
    from labelformat.formats.coco import COCOObjectDetectionOutput

    from service.exports.labelformat_input import ExportedLabels

    path = folder / "annotations.json"
    kept = list(images)
    COCOObjectDetectionOutput(path).save(ExportedLabels(kept, class_names, first_id=1))
    coco = json.loads(path.read_bytes())
    for entry, image in zip(coco["images"], kept, strict=True):
        entry["coco_url"] = places.url(image)
    for annotation_id, annotation in enumerate(coco["annotations"], 1):
        _complete(annotation, annotation_id)
    path.write_text(json.dumps(coco), encoding="utf-8")


def _complete(annotation: dict[str, Any], annotation_id: int) -> None:
    """Add what pycocotools needs and labelformat leaves out."""
    _, _, width, height = annotation["bbox"]
    annotation |= {"id": annotation_id, "area": width * height, "iscrowd": 0, "segmentation": []}
