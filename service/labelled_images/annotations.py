"""Annotations in COCO's form, read within limits: JSON grows tenfold when it is parsed."""

import json
from collections.abc import Callable
from http import HTTPStatus

from fastapi import UploadFile

from models.data.coco import CocoFormatError, CocoReading, read_coco
from models.data.datasets import Reader
from service.errors import ServiceError

MAX_BYTES = 32 * 1024**2
MAX_BRACKETS = 2_000_000
MAX_ENTRIES = 200_000
MAX_CATEGORIES = 10_000
MAX_CLASS_NAME_LENGTH = 200

FindFile = Callable[[str], Reader | None]  # by a file name of the annotations


class InvalidAnnotations(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-annotations"
    title = "Invalid annotations"


class TooManyAnnotations(ServiceError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    slug = "too-many-annotations"
    title = "Too many annotations"


def require_short(size_bytes: int) -> None:
    """Check the length of the JSON before it is read. Raises TooManyAnnotations."""
    if size_bytes > MAX_BYTES:
        raise TooManyAnnotations(
            f"the annotations have {size_bytes} bytes, and {MAX_BYTES} are allowed: send the "
            "images in parts, each with its own annotations"
        )


def read_part(annotations: UploadFile) -> bytes:
    """Return the content of the form's JSON. Raises TooManyAnnotations."""
    require_short(annotations.size or 0)
    return annotations.file.read()


def read_annotations(content: bytes, find_file: FindFile) -> CocoReading:
    """
    Parse annotations, and open the images that they name.

    Raises:
        InvalidAnnotations: nothing of the annotations can be used.
        TooManyAnnotations: they have more entries than one upload may have.
    """
    _require_few("brackets", content.count(b"{") + content.count(b"["), MAX_BRACKETS)
    try:
        document = json.loads(content)
        _require_few_entries(document)
        reading = read_coco(document, find_file)
    except CocoFormatError as error:
        raise InvalidAnnotations(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise InvalidAnnotations(f"the annotations are not JSON: {error}") from error
    for name in reading.class_names:
        if len(name) > MAX_CLASS_NAME_LENGTH or not name.isprintable():
            raise InvalidAnnotations(
                f"the class name {name[:50]!r} must be printable and at most "
                f"{MAX_CLASS_NAME_LENGTH} letters long"
            )
    return reading


def _require_few_entries(document: object) -> None:
    if not isinstance(document, dict):
        return
    for name, most in (
        ("images", MAX_ENTRIES),
        ("annotations", MAX_ENTRIES),
        ("categories", MAX_CATEGORIES),
    ):
        entries = document.get(name)
        if isinstance(entries, list):
            _require_few(name, len(entries), most)


def _require_few(name: str, number: int, most: int) -> None:
    if number > most:
        raise TooManyAnnotations(
            f"the annotations have {number} {name}, and {most} are allowed in one upload: send the "
            "images in parts, each with its own annotations"
        )
