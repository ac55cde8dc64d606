"""The sources of an upload's images and annotations: a zip, or the files of a form."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import BinaryIO

from models.data.datasets import Reader
from models.data.images import UnreadableImageError
from service.errors import ServiceError
from service.imports.archives import read_zip
from service.imports.entries import Limits, UnreadableEntry, UnreadableSource
from service.labelled_images.annotations import InvalidAnnotations, require_short

MAX_END_PARTS = 16


class UnreadableArchive(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "unreadable-archive"
    title = "Unreadable archive"


class LabelledZip:
    """A zip of images, and of their annotations unless those are sent separately."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        """Read the zip's directory. Raises UnreadableArchive."""
        try:
            self._entries = {entry.name: entry for entry in read_zip(file, limits).entries}
        except UnreadableSource as error:
            raise UnreadableArchive(str(error)) from error
        self._names_by_end: dict[str, list[str]] = defaultdict(list)
        for name in self._entries:
            for end in _ends(name):
                self._names_by_end[end].append(name)

    def annotations(self) -> bytes:
        """
        Return the bytes of the archive's JSON file.

        Raises:
            InvalidAnnotations: there is none, or more than one, or it cannot be unpacked.
            UnreadableArchive: the archive unpacks to more than the limit.
        """
        names = [name for name in self._entries if name.endswith(".json")]
        if len(names) != 1:
            raise InvalidAnnotations(
                f"the archive must hold exactly one .json file, and has {len(names)}: send the "
                "annotations in the field 'annotations'"
            )
        require_short(self._entries[names[0]].size_bytes)
        try:
            return self._read(names[0])
        except UnreadableImageError as error:
            raise InvalidAnnotations(f"{names[0]}: {error}") from error

    def find(self, file_name: str) -> Reader | None:
        """Find an image by its path in the archive, or by the end of a path if only one matches."""
        if file_name not in self._entries:
            names = self._names_by_end.get(file_name, [])
            if len(names) != 1:
                return None
            file_name = names[0]
        return partial(self._read, file_name)

    def _read(self, name: str) -> bytes:
        """
        Unpack one file.

        Raises:
            UnreadableImageError: it is refused or damaged.
            UnreadableArchive: the archive unpacks to more than the limit.
        """
        try:
            return self._entries[name].read()
        except UnreadableEntry as error:
            raise UnreadableImageError(str(error)) from error
        except UnreadableSource as error:
            raise UnreadableArchive(str(error)) from error


def _ends(path: str) -> Iterator[str]:
    """Yield the last parts of a path, up to MAX_END_PARTS of them, without the whole path."""
    parts = path.rsplit("/", MAX_END_PARTS)[1:]
    for start in range(len(parts)):
        yield "/".join(parts[start:])


def uploaded_files(files: Mapping[str, BinaryIO]) -> Callable[[str], Reader | None]:
    """Return a function that finds a form's files by their name or the last part of a path."""

    def find(file_name: str) -> Reader | None:
        file = files.get(file_name) or files.get(file_name.rsplit("/", 1)[-1])
        return partial(_read_again, file) if file is not None else None

    return find


def _read_again(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
