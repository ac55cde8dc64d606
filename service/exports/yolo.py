"""YOLO: `data.yaml`, and a text file for each image, which is empty for a negative."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from service.exports.images import ExportedImage
from service.exports.places import Places

FOLDER = "images/train"


def write_yolo(
    folder: Path, images: Iterable[ExportedImage], class_names: Sequence[str], places: Places
) -> None:
    """Write `data.yaml` and `labels/train/*.txt`."""
    from labelformat.formats.yolov8 import YOLOv8ObjectDetectionOutput

    from service.exports.labelformat_input import ExportedLabels

    config = folder / "data.yaml"
    labels = ExportedLabels(images, class_names, first_id=0, folder="train/")
    YOLOv8ObjectDetectionOutput(config, output_split="train").save(labels)
    # labelformat's "path: ." is the folder that the trainer runs in; without a path, trainers look
    # beside data.yaml. They want a val, too.
    places_of_images = {"train": FOLDER, "val": FOLDER}
    names = dict(enumerate(class_names))
    with config.open("w", encoding="utf-8") as file:
        yaml.safe_dump(
            {**places_of_images, "nc": len(names), "names": names},
            file,
            allow_unicode=True,
            sort_keys=False,
        )
