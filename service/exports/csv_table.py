"""CSV: one row for each image, its objects as JSON in the last column."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from service.exports.images import ExportedImage
from service.exports.places import Places
from service.exports.rows import COLUMNS, row_of


def write_csv(
    folder: Path, images: Iterable[ExportedImage], class_names: Sequence[str], places: Places
) -> None:
    """Write `metadata.csv`."""
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for image in images:
            row = row_of(image, places)
            writer.writerow(row | {"objects": orjson.dumps(row["objects"]).decode()})
