"""Reads the files of a folder or bucket prefix that the settings allow."""

import os
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import ObjectStore, from_url

from service.errors import ServiceError
from service.imports.entries import (
    Entry,
    Limits,
    Source,
    UnreadableEntry,
    UnreadableSource,
    is_system_file,
    refused,
)
from service.settings import Settings

BUCKET_SCHEMES = ("s3", "gs", "az")


class PlaceNotAllowed(ServiceError):
    """The place lies outside every folder and prefix of HARDNEG_IMPORT_ROOTS."""

    status = HTTPStatus.FORBIDDEN
    slug = "place-not-allowed"
    title = "Place is not allowed"

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"'{uri}' lies outside the places that HARDNEG_IMPORT_ROOTS allows: "
            "import from one of them, or add this one to the setting"
        )


def check_allowed(uri: str, settings: Settings) -> None:
    """
    Check that a place may be imported.

    Raises:
        PlaceNotAllowed: it may not, or it is no address at all.
    """
    for root in settings.import_root_list:
        try:
            if _is_inside(uri, root):
                return
        except (ValueError, RuntimeError):  # not an address, not a path, or a link to itself
            continue
    raise PlaceNotAllowed(uri)


def _is_inside(uri: str, root: str) -> bool:
    folder, root_folder = _folder(uri), _folder(root)
    if folder is not None and root_folder is not None:
        return folder.resolve().is_relative_to(root_folder.resolve())
    return folder is None and root_folder is None and _is_below(uri, root)


def open_place(uri: str, limits: Limits) -> Source:
    """
    Open a folder, with its subfolders, or a bucket prefix.

    Raises:
        UnreadableSource: the folder is missing or has too many files; reading the entries of a
            bucket may raise it, too.
    """
    folder = _folder(uri)
    if folder is None:
        return Source(_bucket_entries(from_url(uri), limits), None)
    if not folder.is_dir():
        raise UnreadableSource(f"there is no folder '{uri}'")
    num_files = sum(1 for _ in _walk(folder))  # a list of millions of names would fill the memory
    if num_files > limits.max_files:
        raise UnreadableSource(f"the folder has {num_files} files; {limits.max_files} are allowed")
    return Source(_folder_entries(folder, limits), num_files)


def _folder(uri: str) -> Path | None:
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(uri) if uri.startswith("/") else None


def _is_below(uri: str, root: str) -> bool:
    parts, root_parts = urlsplit(uri), urlsplit(root)
    # The store decodes and resolves the path again, so that "%2e%2e" would lead out like "..".
    if set("%\\?#") & set(uri) or ".." in parts.path.split("/"):
        return False
    if parts.scheme not in BUCKET_SCHEMES:
        return False
    same_bucket = (parts.scheme, parts.netloc) == (root_parts.scheme, root_parts.netloc)
    return same_bucket and f"{parts.path.rstrip('/')}/".startswith(
        f"{root_parts.path.rstrip('/')}/"
    )


def _walk(folder: Path) -> Iterator[Path | OSError]:
    """Yield files in an order that each walk repeats; for an unreadable folder, its error."""
    unlisted: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unlisted.append):
        folders.sort()
        while unlisted:
            yield unlisted.pop(0)
        yield from (Path(parent, name) for name in sorted(names) if not is_system_file(name))
    yield from unlisted


def _folder_entries(folder: Path, limits: Limits) -> Iterator[Entry]:
    for found in _walk(folder):
        if isinstance(found, OSError):
            name = os.path.relpath(found.filename, folder)
            yield refused(name, f"the folder cannot be listed: {found.strerror}")
        else:
            yield _file_entry(folder, found, limits)


def _file_entry(folder: Path, path: Path, limits: Limits) -> Entry:
    name = str(path.relative_to(folder))
    if not path.resolve().is_relative_to(folder.resolve()):
        return refused(name, "it is a link that leads out of the folder")
    if not path.is_file():
        return refused(name, "it is not a plain file")
    return Entry(name, partial(_read_file, path, limits.max_file_bytes))


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise UnreadableEntry(f"it is larger than {max_bytes} bytes")
            content = file.read(size + 1)  # `read` allocates as much as it may return
    except OSError as error:
        raise UnreadableEntry(f"it cannot be read: {error.strerror}") from error
    if len(content) > size:
        raise UnreadableEntry("it grew while it was being read")
    return content


def _bucket_entries(store: ObjectStore, limits: Limits) -> Iterator[Entry]:
    """Yield the objects by key, the order in which buckets list them each time."""
    num_files = 0
    for page in obstore.list(store):
        for found in page:
            num_files += 1
            if num_files > limits.max_files:
                raise UnreadableSource(
                    f"the bucket has more than {limits.max_files} files under this prefix"
                )
            if is_system_file(found["path"]):
                continue
            if found["size"] > limits.max_file_bytes:
                yield refused(found["path"], f"it is larger than {limits.max_file_bytes} bytes")
            else:
                yield Entry(found["path"], partial(_read_object, store, found["path"]))


def _read_object(store: ObjectStore, path: str) -> bytes:
    try:
        return bytes(obstore.get(store, path).bytes())
    except FileNotFoundError as error:
        raise UnreadableEntry("it was deleted during the import") from error
