"""The files of an import, the same for an archive, a folder and a bucket."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

SYSTEM_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


class UnreadableEntry(Exception):
    """One file cannot be imported; the message gives its sender the reason."""


class UnreadableSource(ValueError):
    """The import cannot read any further file; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A file and its name.

    Call `read` before taking the next entry; it raises UnreadableEntry if the file is refused.

    Attributes:
        size_bytes: an upper bound of what `read` returns, where it is known; else 0.
    """

    name: str
    read: Callable[[], bytes]
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """Entries in an order that each reading repeats, and their number where it is known."""

    entries: Iterator[Entry]
    num_entries: int | None


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds for one import; `max_total_bytes` counts bytes after unpacking."""

    max_file_bytes: int
    max_total_bytes: int
    max_files: int


def refused(name: str, reason: str) -> Entry:
    """Return an entry that cannot be read, for this reason."""

    def read() -> bytes:
        raise UnreadableEntry(reason)

    return Entry(name, read)


def is_system_file(name: str) -> bool:
    """Return whether an archiver or a desktop added this file, so that no one wants it imported."""
    last = name.rsplit("/", 1)[-1]
    return name.startswith("__MACOSX/") or last.startswith("._") or last in SYSTEM_FILES
