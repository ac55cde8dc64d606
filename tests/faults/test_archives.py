"""Archives that unpack to more than they weigh are refused before they are unpacked."""

import io
import lzma
import tarfile
import tracemalloc
import zipfile

import pytest

from service.imports.archives import open_archive
from service.imports.entries import Limits, UnreadableEntry, UnreadableSource
from tests.faults.hostile_zips import (
    with_dictionary_of_gigabytes,
    zip_of_many_names,
    zip_of_one_body,
    zip_of_zeros,
    zip_that_lies,
)

MB = 1024**2
LIMITS = Limits(max_file_bytes=4 * MB, max_total_bytes=16 * MB, max_files=100)


def refusals(archive: bytes) -> list[str]:
    """Read all entries, and return why each is refused; an empty text for one that is read."""
    reasons = []
    with open_archive(io.BytesIO(archive), LIMITS) as source:
        for entry in source.entries:
            try:
                entry.read()
                reasons.append("")
            except UnreadableEntry as error:
                reasons.append(str(error))
    return reasons


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (zip_of_zeros(50, 5 * MB), "larger than"),
        (zip_of_zeros(50, 3 * MB), "more than 200 times"),
        (zip_that_lies(3 * MB), "cannot be unpacked"),
        (zip_of_zeros(2, 3 * MB, zipfile.ZIP_BZIP2), "another method"),
        (zip_of_zeros(2, 3 * MB, zipfile.ZIP_LZMA), "another method"),
    ],
)
def test_refused_files_are_not_unpacked(archive: bytes, reason: str) -> None:
    tracemalloc.start()

    reasons = refusals(archive)

    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reasons
    assert all(reason in text for text in reasons)
    assert highest < 3 * MB


def test_files_that_share_bytes_are_refused() -> None:
    with pytest.raises(UnreadableSource, match="shares its bytes"):
        refusals(zip_of_one_body(90, MB))


def test_all_files_together_have_a_limit() -> None:
    with pytest.raises(UnreadableSource, match="unpacks to more than"):
        refusals(zip_of_zeros(20, MB))


def test_a_long_directory_is_refused_before_it_is_read() -> None:
    with pytest.raises(UnreadableSource, match="directory is too long"):
        refusals(zip_of_many_names(4_000))


def test_xz_that_asks_for_gigabytes_is_refused_and_others_are_read() -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name in ("a", "b"):
            member = tarfile.TarInfo(name)
            member.size = 100_000
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    half = len(plain.getvalue()) // 2
    packed = lzma.compress(plain.getvalue(), preset=9)
    in_parts = lzma.compress(plain.getvalue()[:half]) + bytes(8)
    in_parts += lzma.compress(plain.getvalue()[half:]) + b"what follows"

    assert refusals(packed) == refusals(in_parts) == ["", ""]
    with pytest.raises(UnreadableSource, match="Memory usage limit"):
        refusals(with_dictionary_of_gigabytes(packed))
    with pytest.raises(UnreadableSource, match="breaks off"):
        refusals(packed[: len(packed) // 2])
