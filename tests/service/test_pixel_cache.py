"""The pixel cache: rescans decode an image once, with the same scores, in bounded room."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image as Picture
from sqlalchemy import select

from models.detectors.checkpoint import load_checkpoint
from models.inference.pixel_entries import PixelEntry
from service.pixel_cache import IN_USE_S, PixelCache
from service.scoring import store
from service.scoring.engine import LoadedVersion
from service.scoring.rescan import score_stored
from service.settings import Settings
from service.tables import Image, ImageScore
from tests.databases import on_sqlite_only
from tests.scenes import RED, scene_bytes
from tests.service.conftest import AddVersion
from tests.service.resources import resources_of

KIND = "kind"
DIGESTS = [letter * 64 for letter in "abcd"]


def _large_jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (90, 110, 3), dtype=np.uint8)
    out = io.BytesIO()
    Picture.fromarray(noise).resize((1100, 900)).save(out, "JPEG")
    return out.getvalue()


def _entry(num_bytes: int) -> PixelEntry:
    return PixelEntry(torch.zeros(3, 1, num_bytes // 3, dtype=torch.uint8), (1, 1), None)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("**/*") if path.is_file())


@on_sqlite_only
def test_rescan_reads_kept_pixels_and_gives_the_same_scores(
    client: TestClient, settings: Settings, checkpoint: Path, add_version: AddVersion
) -> None:
    resources, detector = resources_of(client), load_checkpoint(checkpoint).eval()
    version = LoadedVersion(add_version(checkpoint, "squares"), "squares", detector)
    pictures = [scene_bytes(1, RED), scene_bytes(2, RED), _large_jpeg()]
    files = [("files", (f"{n}.jpg", picture)) for n, picture in enumerate(pictures)]
    client.post("/images", files=files).raise_for_status()
    with resources.read_sessions.begin() as session:
        images = session.scalars(select(Image).order_by(Image.id)).all()
    folder = settings.data_dir / "pixels"

    def scores() -> list[tuple[float | None, list[tuple[float, ...]]]]:
        score_stored(resources, version, [images])
        ids = [image.id for image in images]
        with resources.read_sessions.begin() as session:
            found: dict[int, ImageScore] = store.find_scores(session, version.id, ids)
            boxes = store.boxes_on(session, version.id, ids)
        return [
            (found[id_].log_odds, [tuple(box[2:]) for box in boxes if box.image_id == id_])
            for id_ in ids
        ]

    decoded = scores()
    assert len(_files(folder)) == len(pictures)
    blobs = {image.blob_key: resources.blobs.get(image.blob_key) for image in images}
    for key in blobs:
        resources.blobs.delete(key)  # so that nothing can be decoded again
    assert scores() == decoded

    resources.blobs.put_all(blobs)
    whole = [path.read_bytes() for path in _files(folder)]
    torn, changed, empty = _files(folder)
    torn.write_bytes(whole[0][:-1000])
    changed.write_bytes(whole[1][:-9] + b"\x00" + whole[1][-8:])
    empty.write_bytes(b"")
    assert scores() == decoded
    assert [path.read_bytes() for path in _files(folder)] == whole


@on_sqlite_only
def test_upload_keeps_the_pixels_of_large_images_until_they_are_deleted(
    client: TestClient, settings: Settings, checkpoint: Path, add_version: AddVersion
) -> None:
    add_version(checkpoint, "squares")
    client.post("/model-versions/squares/activate").raise_for_status()
    files = [("files", ("large.jpg", _large_jpeg())), ("files", ("small.png", scene_bytes(1, RED)))]
    large, _ = (item["image"] for item in client.post("/images", files=files).json()["items"])

    assert len(_files(settings.data_dir / "pixels")) == 1
    client.delete(large["links"]["self"]).raise_for_status()
    assert _files(settings.data_dir / "pixels") == []


def test_entries_that_no_rescan_needed_for_an_hour_make_room(tmp_path: Path) -> None:
    cache = PixelCache(tmp_path, max_bytes=30_000)
    for digest in DIGESTS[:3]:
        cache.keep(KIND, digest, _entry(9000))

    def kept() -> str:
        return "".join(digest[0] for digest in DIGESTS if cache.find(KIND, digest) is not None)

    cache.keep(KIND, DIGESTS[3], _entry(9000))
    assert kept() == "abc"  # all are in use

    long_ago = os.stat(tmp_path).st_mtime - IN_USE_S - 60
    for age, digest in enumerate(DIGESTS[:2]):
        os.utime(tmp_path / KIND / digest[:2] / digest, (long_ago + age, long_ago + age))
    cache = PixelCache(tmp_path, max_bytes=30_000)  # as another process
    cache.keep(KIND, DIGESTS[3], _entry(9000))
    assert kept() == "bcd"


@pytest.mark.parametrize("max_bytes", [0, 100])
def test_nothing_is_kept_without_room(tmp_path: Path, max_bytes: int) -> None:
    PixelCache(tmp_path, max_bytes).keep(KIND, DIGESTS[0], _entry(300))

    assert _files(tmp_path) == []


def test_folder_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "pixels").write_text("a file where the folder should be")
    cache = PixelCache(tmp_path / "pixels", 10_000)

    cache.keep(KIND, DIGESTS[0], _entry(300))
    cache.delete(DIGESTS[0])

    assert cache.find(KIND, DIGESTS[0]) is None
