"""Backup, restore and the check of what is stored, on both databases."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.app import create_app
from service.blobs import BlobStore
from service.db import open_engine
from service.settings import Settings
from service.start import StartRefused, check_start
from service.upkeep.backup import DATABASE, BackupReport, back_up
from service.upkeep.expected import SETTLED_AFTER_S
from service.upkeep.fsck import check
from service.upkeep.restore import NotRestorable, restore
from service.upkeep.thread import checkpoint_if_idle, delete_orphans
from tests.databases import on_sqlite_only, sqlite_url
from tests.scenes import scene_bytes
from tests.service.clients import local_client
from tests.service.resources import resources_of


def upload(client: TestClient, seed: int) -> int:
    response = client.post("/images", files={"files": scene_bytes(seed)})
    response.raise_for_status()
    return int(response.json()["id"])


def save(client: TestClient, folder: Path) -> BackupReport:
    resources = resources_of(client)
    return back_up(resources.engine, resources.read_sessions, resources.blobs, folder)


def findings(client: TestClient, *, deletes_orphans: bool = False) -> list[str]:
    resources = resources_of(client)
    found = check(
        resources.engine, resources.read_sessions, resources.blobs, deletes_orphans=deletes_orphans
    )
    return [finding.text for finding in found]


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[tuple[Engine, Settings]]:
    """Yield a new SQLite database, and the settings of a service on it."""
    url = sqlite_url(tmp_path / "restored.sqlite3").render_as_string()
    settings = Settings(
        data_dir=tmp_path / "restored", database_url=url, device="cpu", embedded_worker=False
    )
    engine = open_engine(url)
    yield engine, settings
    engine.dispose()


def test_backup_under_load_comes_back_whole(
    client: TestClient, tmp_path: Path, empty: tuple[Engine, Settings]
) -> None:
    images = [upload(client, seed) for seed in range(1, 5)]
    client.put(f"/images/{images[0]}/verdict", json={"verdict": "unsure"}).raise_for_status()
    client.delete(f"/images/{upload(client, 99)}").raise_for_status()
    stopping = Event()

    def keep_changing() -> None:
        for seed in range(10, 200):
            if stopping.is_set():
                return
            added = upload(client, seed)
            if seed % 2:
                client.delete(f"/images/{added}").raise_for_status()

    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(keep_changing)
        report = save(client, tmp_path / "backup")
        stopping.set()
        load.result()
    engine, settings = empty
    restore(tmp_path / "backup", engine, BlobStore(settings.blob_store_url))

    assert report.problems == []
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == [
        "blobs",
        DATABASE,
        "manifest.json",
    ]
    with local_client(create_app(settings)) as restored:
        for image, seed in zip(images, range(1, 5), strict=True):
            assert restored.get(f"/images/{image}/content").content == scene_bytes(seed)
        assert restored.get(f"/images/{images[0]}").json()["verdict"] == "unsure"
        assert findings(restored) == []
        assert upload(restored, 500) > max(images) + 1  # the id of a deleted image never returns


@on_sqlite_only
def test_second_backup_copies_new_blobs_only(client: TestClient, tmp_path: Path) -> None:
    upload(client, 1)
    first = save(client, tmp_path / "backup")
    upload(client, 2)

    second = save(client, tmp_path / "backup")

    assert (first.num_copied, second.num_copied, second.num_blobs) == (1, 1, 2)


@on_sqlite_only
def test_damaged_backup_and_full_database_are_refused(
    client: TestClient, tmp_path: Path, empty: tuple[Engine, Settings]
) -> None:
    upload(client, 1)
    save(client, tmp_path / "backup")
    engine, settings = empty
    blobs = BlobStore(settings.blob_store_url)
    (blob,) = [path for path in (tmp_path / "backup" / "blobs").rglob("*") if path.is_file()]
    content = blob.read_bytes()

    with pytest.raises(NotRestorable, match="already"):
        restore(tmp_path / "backup", resources_of(client).engine, blobs)
    blob.write_bytes(content + b"x")
    with pytest.raises(NotRestorable, match="damaged"):
        restore(tmp_path / "backup", engine, blobs)
    blob.write_bytes(content)
    (tmp_path / "backup" / "manifest.json").unlink()
    with pytest.raises(NotRestorable, match="no whole backup"):
        restore(tmp_path / "backup", engine, blobs)


@on_sqlite_only
def test_check_names_missing_damaged_and_unnamed_blobs(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, damaged = upload(client, 1), upload(client, 2)
    paths = {path.name[:8]: path for path in (settings.data_dir / "blobs").rglob("*-*")}
    sha256 = {
        image: client.get(f"/images/{image}").json()["sha256"][:8] for image in (lost, damaged)
    }
    paths[sha256[lost]].unlink()
    with paths[sha256[damaged]].open("ab") as file:
        file.write(b"x")
    resources_of(client).blobs.put("images/ab/abcd-0", b"orphan")
    new = findings(client)
    monkeypatch.setattr("service.upkeep.expected.SETTLED_AFTER_S", -SETTLED_AFTER_S)

    found = findings(client, deletes_orphans=True)

    assert [text.partition(": ")[0] for text in new] == [f"image {lost}", f"image {damaged}"]
    assert found[:2] == new
    assert "images/ab/abcd-0" in found[2]
    assert len(findings(client)) == 2


@on_sqlite_only
def test_sweep_takes_few_orphans_and_never_all_blobs(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = resources_of(client)
    kept = upload(client, 1)
    monkeypatch.setattr("service.upkeep.expected.SETTLED_AFTER_S", -SETTLED_AFTER_S)
    for k in range(3):
        resources.blobs.put(f"images/ab/abcd-{k}", b"orphan")

    assert delete_orphans(resources) == 3
    assert client.get(f"/images/{kept}/content").status_code == 200
    for k in range(20):
        resources.blobs.put(f"images/ab/abcd-{k}", b"orphan")
    assert delete_orphans(resources) == 0


def test_empty_database_beside_blobs_refuses_to_start(settings: Settings) -> None:
    check_start(settings)
    BlobStore(settings.blob_store_url).put("images/ab/abcd-0", b"left")

    with pytest.raises(StartRefused, match="hardneg restore"):
        check_start(settings)


@on_sqlite_only
def test_database_file_alone_is_whole_after_a_quiet_time(
    client: TestClient, tmp_path: Path
) -> None:
    image = upload(client, 1)
    resources = resources_of(client)
    copy = tmp_path / "copy.sqlite3"

    deadline = time.monotonic() + 20
    while True:
        checkpoint_if_idle(resources, idle_after_s=0)
        shutil.copyfile(str(resources.engine.url.database), copy)
        with sqlite3.connect(copy) as connection:
            rows = connection.execute("SELECT id FROM images").fetchall()
        if rows or time.monotonic() > deadline:
            break

    assert rows == [(image,)]
