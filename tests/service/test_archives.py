"""Names in archives that no honest program writes."""

import io
import struct
import tarfile
from collections.abc import Callable
from contextlib import suppress

import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given
from hypothesis import strategies as st

from service.imports.archives import open_archive
from service.imports.entries import Limits, UnreadableEntry, UnreadableSource
from tests.service.test_imports import tarred, zipped
from tests.service.test_labelled_images import upload_zip

LIMITS = Limits(max_file_bytes=2**20, max_total_bytes=2**20, max_files=10)


def zip_with_name(name: bytes, flags: int = 0x800) -> bytes:
    """Return a zip of one file whose name is these bytes; flag 0x800 says that they are UTF-8."""
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, flags, 0, 0, 33, 0x83DCEFB7, 1, 1, len(name), 0)
    member = local + name + b"1"
    entry = struct.pack(
        "<4s6H3I5H2I",
        *(b"PK\1\2", 20, 20, flags, 0, 0, 33, 0x83DCEFB7, 1, 1, len(name), 0, 0, 0, 0, 0, 0),
    )
    size = len(entry) + len(name)
    return (
        member + entry + name + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, size, len(member), 0)
    )


def tar_with_name(name: bytes) -> bytes:
    """Return a tar of one file whose name is these bytes, cut to the 100 that a header holds."""
    info = tarfile.TarInfo()
    info.size = 1
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    header[:100] = name[:100].ljust(100, b"\0")
    header[148:156] = b" " * 8
    header[148:155] = b"%06o\0" % sum(header)
    return bytes(header) + b"1".ljust(512, b"\0") + bytes(1024)


def entries_of(archive: bytes) -> dict[str, bytes | str]:
    """Return the content of each entry, or the reason why it is refused."""
    found: dict[str, bytes | str] = {}
    with open_archive(io.BytesIO(archive), LIMITS) as source:
        for entry in source.entries:
            try:
                found[entry.name] = entry.read()
            except UnreadableEntry as error:
                found[entry.name] = str(error)
    return found


PACKERS = [zip_with_name, tar_with_name]


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("name", [b"", b".", b"./.", b"\0", b"\0a"])
def test_file_without_a_name_is_refused(pack: Callable[[bytes], bytes], name: bytes) -> None:
    assert list(entries_of(pack(name)).values()) == ["it has no name"]


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("name", [b"..", b"/a", b"a/../b", b"..\\a", b"\\", b"/.."])
def test_name_that_leads_out_is_refused(pack: Callable[[bytes], bytes], name: bytes) -> None:
    assert list(entries_of(pack(name)).values()) == ["its path leads out of the archive"]


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("name", [b"a//b", b"./a", b"a\\b", b"C:\\a", b" ", b"\n", b"x" * 100])
def test_odd_name_is_a_name(pack: Callable[[bytes], bytes], name: bytes) -> None:
    assert entries_of(pack(name)) == {name.decode(): b"1"}


def test_name_that_is_not_utf_8_ends_a_zip_and_not_a_tar() -> None:
    with pytest.raises(UnreadableSource, match="the zip is damaged"):
        entries_of(zip_with_name(b"\xff\xfe"))
    assert entries_of(zip_with_name(b"\xff\xfe", flags=0)) == {"\xa0\u25a0": b"1"}  # code page 437
    assert list(entries_of(tar_with_name(b"\xff\xfe")).values()) == [b"1"]


@given(st.binary(max_size=100))
@example(b"x" * 100)
def test_any_name_is_read_or_refused(name: bytes) -> None:
    for pack in PACKERS:
        with suppress(UnreadableSource):
            contents = list(entries_of(pack(name)).values())
            assert len(contents) <= 1  # folders and the files of desktops are passed over


@given(place=st.integers(min_value=0), value=st.integers(1, 255), end=st.integers(0, 10))
@example(place=26, value=1, end=0)
def test_damaged_archive_is_read_or_refused(place: int, value: int, end: int) -> None:
    for archive in (zipped({"a.png": b"12", "b/c.png": b"3"}), tarred({"a.png": b"12"}, "w")):
        damaged = bytearray(archive[: len(archive) - end])
        damaged[place % len(damaged)] ^= value
        with suppress(UnreadableSource):
            entries_of(bytes(damaged))


@pytest.mark.parametrize("name", [b"", b"\0a", b".", b"/", b".."])
def test_labelled_zip_with_a_nameless_file_is_refused_item_by_item(
    client: TestClient, name: bytes
) -> None:
    response = upload_zip(client, zip_with_name(name))

    assert response.status_code == 422
    assert "must hold exactly one .json file" in response.json()["detail"]
