"""Parquet: one row for each image, written by pyarrow, which an extra installs."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from service.exports.images import ExportedImage
from service.exports.places import Places
from service.exports.rows import COLUMNS, row_of

ROWS_PER_GROUP = 1000


def write_parquet(
    folder: Path, images: Iterable[ExportedImage], class_names: Sequence[str], places: Places
) -> None:
    """Write `metadata.parquet`. Raises ImportError where pyarrow is not installed."""
    from pyarrow import RecordBatch
    from pyarrow.parquet import ParquetWriter

    schema = _schema()
    rows = (row_of(image, places) for image in images)
    with ParquetWriter(folder / "metadata.parquet", schema) as writer:
        for group in _groups(rows):
            writer.write_batch(RecordBatch.from_pylist(group, schema))


def _schema() -> Any:
    import pyarrow

    types = dict.fromkeys(COLUMNS, pyarrow.string())
    types |= dict.fromkeys(("image_id", "width", "height", "rank"), pyarrow.int64())
    types |= dict.fromkeys(("max_score", "log_odds"), pyarrow.float64())
    box, names = pyarrow.list_(pyarrow.float64()), pyarrow.list_(pyarrow.string())
    types["objects"] = pyarrow.struct({"bbox": pyarrow.list_(box), "category": names})
    return pyarrow.schema(types)


def _groups(rows: Iterator[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    while group := list(islice(rows, ROWS_PER_GROUP)):
        yield group
