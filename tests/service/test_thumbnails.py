"""Thumbnails that are made once and kept in a bounded folder."""

import io
import os
from pathlib import Path

from fastapi.testclient import TestClient
from PIL import Image

from service.hard_negatives.ready_thumbnails import make_thumbnails_of_hardest
from service.settings import Settings
from service.thumbnails import KEPT_SIDES, ThumbnailStore
from tests.databases import on_sqlite_only
from tests.service.mining import send_images
from tests.service.pictures import picture
from tests.service.resources import resources_of

SMALL, LARGE = KEPT_SIDES


@on_sqlite_only
def test_usual_size_is_made_once_and_deleted_with_the_image(
    client: TestClient, settings: Settings
) -> None:
    image = client.post("/images", files={"files": picture(1)}).json()
    address = f"{image['links']['thumbnail']}?max_side={SMALL}"
    first = client.get(address)
    (kept,) = _files(settings.data_dir / "thumbnails")
    marked = io.BytesIO()
    Image.new("RGB", (1, 1)).save(marked, "JPEG")
    kept.write_bytes(marked.getvalue())

    assert first.content != marked.getvalue()
    assert client.get(address).content == marked.getvalue()
    client.delete(image["links"]["self"]).raise_for_status()
    assert _files(settings.data_dir / "thumbnails") == []


@on_sqlite_only
def test_those_of_the_hardest_images_are_ready_before_anybody_looks(serving: TestClient) -> None:
    resources = resources_of(serving)
    images = send_images(serving, "pool", range(3))
    send_images(serving, "negative-test", range(10, 12))

    made = make_thumbnails_of_hardest(resources, 1, should_stop=lambda: False)

    assert made + make_thumbnails_of_hardest(resources, 1, should_stop=lambda: False) == 6
    digests = [serving.get(f"/images/{image}").json()["sha256"] for image in images]
    assert all(resources.thumbnails.has(each, side) for each in digests for side in KEPT_SIDES)


@on_sqlite_only
def test_other_sizes_are_not_kept(client: TestClient, settings: Settings) -> None:
    image = client.post("/images", files={"files": picture(1)}).json()

    assert client.get(f"{image['links']['thumbnail']}?max_side=100").status_code == 200
    assert _files(settings.data_dir / "thumbnails") == []


def test_least_recently_used_ones_make_room(tmp_path: Path) -> None:
    store = ThumbnailStore(tmp_path, max_bytes=100)
    for second, name in enumerate("abc"):
        store.keep(name * 64, SMALL, bytes(30))
        os.utime(tmp_path / (name * 2) / f"{name * 64}-{SMALL}.jpg", (second, second))

    assert store.find("a" * 64, SMALL) is not None  # used now, so "b" is the oldest
    store.keep("d" * 64, SMALL, bytes(30))

    assert [store.find(name * 64, SMALL) is not None for name in "abcd"] == [
        True,
        False,
        True,
        True,
    ]


def test_folder_of_another_process_counts_and_nothing_is_kept_at_zero(tmp_path: Path) -> None:
    ThumbnailStore(tmp_path, max_bytes=100).keep("a" * 64, LARGE, bytes(80))
    os.utime(next(tmp_path.glob("*/*")), (1, 1))
    ThumbnailStore(tmp_path, max_bytes=100).keep("b" * 64, LARGE, bytes(80))
    ThumbnailStore(tmp_path / "none", max_bytes=0).keep("a" * 64, SMALL, bytes(1))

    assert [path.name[0] for path in _files(tmp_path)] == ["b"]


def test_folder_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "thumbnails").write_text("a file where the folder should be")
    store = ThumbnailStore(tmp_path / "thumbnails", max_bytes=100)

    store.keep("a" * 64, SMALL, bytes(30))
    store.delete("a" * 64)

    assert store.find("a" * 64, SMALL) is None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
