"""Lists of images, as `hardneg import` reads them."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from hardneg.errors import ClientError
from hardneg.uploads.image_list import listed_images

NAMES = ("night/a b.jpg", "night/ü.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"an image")
    return tmp_path


def write_list(path: Path, names: Sequence[str], column: str = "file_name") -> Path:
    """Write a list of paths in the format of its suffix, between other columns."""
    rows: list[dict[str, object]] = [{"id": 1, column: name, "score": 0.5} for name in names]
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        lines = [f"id,{column},score", *(f'1,"{name}",0.5' for name in names)]
        path.write_text("\n".join(lines), encoding="utf-8-sig")
    else:
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


LISTS = ["list.csv", "list.jsonl", "list.ndjson", "list.parquet"]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("column", ["path", "file_name", "image"])
def test_list_gives_its_images_in_order(folder: Path, name: str, column: str) -> None:
    path = write_list(folder / name, [NAMES[1], NAMES[0], NAMES[1]], column)

    found = listed_images(path)

    assert [found.name(image) for image in found.paths] == [NAMES[1], NAMES[0]]
    assert found.refused == []


@pytest.mark.parametrize(("name", "line"), [*zip(LISTS, (3, 2, 2, 2), strict=True)])
def test_missing_file_is_refused_with_its_line(folder: Path, name: str, line: int) -> None:
    path = write_list(folder / name, [NAMES[0], "gone.jpg"])

    found = listed_images(path)

    (refused,) = found.refused
    assert found.name(refused.path) == "gone.jpg"
    assert refused.reason == f"there is no such file ({path}:{line})"
    assert len(found.paths) == 1


@pytest.mark.parametrize("name", LISTS)
def test_list_without_a_column_of_paths_is_refused(folder: Path, name: str) -> None:
    path = write_list(folder / name, [NAMES[0]], column="picture")

    with pytest.raises(ClientError, match="none of its columns is named path, file_name"):
        listed_images(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"path\nhttp://cameras/1.jpg\n", r"a.csv:2: http://cameras/1.jpg is an address"),
        ("a.csv", b"path,id\n,1\n", r"a.csv:2: 'path' must be a path, not ''"),
        ("a.csv", b"path\n\xff\xfe\n", "not text in UTF-8"),
        ("a.jsonl", b'{"path": "a"}\n[1]', r"a.jsonl:1|a.jsonl:2: a line must be an object"),
        ("a.jsonl", b'\n{"path": 3}', r"a.jsonl:2: 'path' must be a path, not 3"),
        ("a.jsonl", b"{", r"a.jsonl:1 is not JSON"),
        ("a.parquet", b"PAR1", "is not Parquet"),
    ],
)
def test_unusable_list_is_refused_with_its_line(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ClientError, match=reason):
        listed_images(tmp_path / name)


def test_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"cannot read .*a.csv: No such file"):
        listed_images(tmp_path / "a.csv")


def test_parquet_without_its_extra_names_the_remedy(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_list(folder / "list.parquet", NAMES)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ClientError, match=r"pip install 'hardneg\[parquet\]'"):
        listed_images(path)
