"""Where an upload's annotations and images are: beside each other, or in one zip."""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import BinaryIO

from models.datasets import Reader
from models.images import UnreadableImageError
from service.errors import ServiceError
from service.labelled_images.service import InvalidAnnotations

MAX_ANNOTATIONS_BYTES = 256 * 1024**2

# What zipfile raises for members that are damaged, encrypted or of an unknown method.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError, ValueError)


class UnreadableArchive(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "unreadable-archive"
    title = "Unreadable archive"


class LabelledZip:
    """A zip of images with one JSON file; images are found by path, else by their own name."""

    def __init__(self, file: BinaryIO, max_file_bytes: int, max_files: int) -> None:
        """Raises UnreadableArchive."""
        try:
            self._archive = zipfile.ZipFile(file)
        except ZIP_ERRORS as error:
            raise UnreadableArchive(f"the archive is not a zip: {error}") from error
        members = [info for info in self._archive.infolist() if not info.is_dir()]
        if len(members) > max_files:
            raise UnreadableArchive(
                f"the archive has {len(members)} files; one request takes up to {max_files}"
            )
        self._members = {info.filename: info for info in members}
        self._max_file_bytes = max_file_bytes

    def annotations(self) -> bytes:
        """Raises InvalidAnnotations unless there is exactly one JSON file."""
        names = [
            name for name in self._members if name.endswith(".json") and "__MACOSX" not in name
        ]
        if len(names) != 1:
            raise InvalidAnnotations(
                f"the archive must hold one .json file, and has {len(names)}: send the one to use "
                "in the field 'annotations'"
            )
        try:
            return self._read(names[0], MAX_ANNOTATIONS_BYTES)
        except UnreadableImageError as error:
            raise InvalidAnnotations(f"{names[0]}: {error}") from error

    def find(self, file_name: str) -> Reader | None:
        """By its path in the archive, else by any path that ends in it, if there is just one."""
        if file_name not in self._members:
            ends = [name for name in self._members if name.endswith(f"/{file_name}")]
            if len(ends) != 1:
                return None
            file_name = ends[0]
        return partial(self._read, file_name, self._max_file_bytes)

    def _read(self, name: str, max_bytes: int) -> bytes:
        """Raises UnreadableImageError; never unpacks more than the limit, whatever is declared."""
        try:
            with self._archive.open(self._members[name]) as member:
                content = member.read(max_bytes + 1)
        except ZIP_ERRORS as error:
            raise UnreadableImageError(f"it cannot be unpacked: {error}") from error
        if len(content) > max_bytes:
            raise UnreadableImageError(f"it unpacks to more than {max_bytes} bytes")
        return content


def uploaded_files(files: Mapping[str, BinaryIO]) -> Callable[[str], Reader | None]:
    """Files of a form, found by their names or by the last part of a path."""

    def find(file_name: str) -> Reader | None:
        file = files.get(file_name) or files.get(file_name.rsplit("/", 1)[-1])
        return partial(_read_again, file) if file is not None else None

    return find


def _read_again(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
