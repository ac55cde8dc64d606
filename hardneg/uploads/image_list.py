"""A list of images: CSV, JSONL or Parquet with a column of paths."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from hardneg.errors import ClientError
from hardneg.uploads.image_files import FoundImages, RefusedFile

# The first of these that a list has holds the paths.
COLUMNS = (
    "path",
    "file_name",
    "filename",
    "file_path",
    "filepath",
    "image_path",
    "image",
    "file",
)
NO_COLUMN = f"none of its columns is named {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}"

Row = tuple[int, Mapping[str, object]]  # with its line, or its number in Parquet, from 1


def is_image_list(path: Path) -> bool:
    """Return whether a path looks like a list of images."""
    return path.suffix.lower() in READERS


def listed_images(path: Path) -> FoundImages:
    """
    Return the images that a list names, in its order; paths start from the list's own folder.

    A path that leads to no file is refused with its line; one that is repeated counts once.

    Raises:
        ClientError: The list cannot be read, or has no column of paths.
    """
    folder = path.parent.resolve()
    found: dict[Path, None] = {}
    refused: list[RefusedFile] = []
    try:
        for line, row in READERS[path.suffix.lower()](path):
            image = (folder / _path_in(path, line, row)).resolve()
            if image.is_file():
                found[image] = None
            else:
                refused.append(RefusedFile(image, f"there is no such file ({path}:{line})"))
    except OSError as error:
        raise ClientError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ClientError(f"{path} is not text in UTF-8") from error
    return FoundImages(folder, tuple(found), refused=refused)


def _path_in(path: Path, line: int, row: Mapping[str, object]) -> str:
    column = next((name for name in COLUMNS if name in row), None)
    if column is None:
        raise ClientError(f"{path}:{line}: {NO_COLUMN}")
    value = row[column]
    if not isinstance(value, str) or not value or "\0" in value:
        raise ClientError(f"{path}:{line}: '{column}' must be a path, not {value!r}")
    if "://" in value:
        raise ClientError(
            f"{path}:{line}: {value} is an address, and only files are uploaded: fetch it "
            "first, or let the service do so with POST /imports"
        )
    return value


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restval=None)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise ClientError(f"{path}:{reader.line_num}: {error}") from error


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ClientError(f"{path}:{number} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ClientError(
                    f'{path}:{number}: a line must be an object, such as {{"path": …}}'
                )
            yield number, row


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ClientError(
            "a Parquet list needs pyarrow: pip install 'hardneg[parquet]', or give the list as CSV"
        ) from error
    try:
        with ParquetFile(path) as file:
            columns = [name for name in COLUMNS if name in file.schema_arrow.names][:1]
            if not columns:
                raise ClientError(f"{path}: {NO_COLUMN}")
            rows = (
                row for group in file.iter_batches(columns=columns) for row in group.to_pylist()
            )
            yield from enumerate(rows, 1)
    except ArrowException as error:
        raise ClientError(f"{path} is not Parquet: {error}") from error


READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _csv_rows,
    ".jsonl": _jsonl_rows,
    ".ndjson": _jsonl_rows,
    ".parquet": _parquet_rows,
}
