"""One file of an import, whatever it comes from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


class UnreadableEntry(Exception):
    """A file that can't be taken; the text is the reason, for the one who sent it."""


class UnreadableSource(ValueError):
    """What is imported can't be read on from here at all."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file by its name; `read` raises UnreadableEntry, and is called before the next entry."""

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Source:
    """Files in an order that is the same each time; `num_entries` where it is known."""

    entries: Iterator[Entry]
    num_entries: int | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one import may hold."""

    max_file_bytes: int
    max_total_bytes: int
    max_files: int


def refused(name: str, reason: str) -> Entry:
    def read() -> bytes:
        raise UnreadableEntry(reason)

    return Entry(name, read)


def is_system_file(name: str) -> bool:
    """Files that archivers and desktops add, which nobody means to import."""
    last = name.rsplit("/", 1)[-1]
    return name.startswith("__MACOSX/") or last.startswith("._") or last in SYSTEM_FILES


SYSTEM_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}
