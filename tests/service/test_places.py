"""Imports of folders."""

import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from service.imports.entries import Limits, UnreadableEntry
from service.imports.places import open_place

LIMITS = Limits(max_file_bytes=100, max_total_bytes=10_000, max_files=2000)


def test_names_of_a_large_folder_are_not_kept_in_memory(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number % 100}").mkdir(exist_ok=True)
        (tmp_path / f"{number % 100}" / f"{number}.jpg").touch()

    tracemalloc.start()
    source = open_place(str(tmp_path), LIMITS)
    num_entries = sum(1 for _ in source.entries)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert num_entries == source.num_entries == 2000
    assert peak < 2000 * 100  # bytes


def test_small_file_takes_little_memory_under_a_large_limit(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"small")
    (entry,) = open_place(str(tmp_path), replace(LIMITS, max_file_bytes=2**28)).entries

    tracemalloc.start()
    content = entry.read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert content == b"small"
    assert peak < 2**20  # Python takes at once what it is allowed to read


def test_folder_that_cannot_be_listed_is_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(name.encode())
    source = open_place(str(tmp_path), LIMITS)

    read = [next(source.entries).read()]
    shutil.rmtree(tmp_path / "b")  # as if a mount went away
    (unlisted, last) = source.entries

    assert [*read, last.read()] == [b"a", b"c"]
    assert unlisted.name == "b"
    with pytest.raises(UnreadableEntry, match="cannot be listed"):
        unlisted.read()
