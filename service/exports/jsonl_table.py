"""JSONL: one line of JSON for each image."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from service.exports.images import ExportedImage
from service.exports.places import Places
from service.exports.rows import row_of


def write_jsonl(
    folder: Path, images: Iterable[ExportedImage], class_names: Sequence[str], places: Places
) -> None:
    """Write `metadata.jsonl`."""
    with (folder / "metadata.jsonl").open("wb") as file:
        for image in images:
            file.write(orjson.dumps(row_of(image, places), option=orjson.OPT_APPEND_NEWLINE))
