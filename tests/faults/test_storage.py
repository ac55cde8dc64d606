"""Blobs that are lost, damaged, planted or have no room."""

import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.blobs import BlobStore
from service.images import service as images
from service.settings import Settings
from service.text import without_folders
from tests.databases import on_sqlite_only
from tests.scenes import scene_bytes
from tests.service.conftest import AddVersion


def upload(client: TestClient, seed: int = 1) -> int:
    response = client.post("/images", files={"files": ("dusk.png", scene_bytes(seed))})
    response.raise_for_status()
    return int(response.json()["id"])


def only_blob(settings: Settings, kind: str = "images") -> Path:
    (blob,) = [path for path in (settings.data_dir / "blobs" / kind).rglob("*") if path.is_file()]
    return blob


@on_sqlite_only
def test_lost_blob_is_put_again_by_the_same_upload(client: TestClient, settings: Settings) -> None:
    image = upload(client)
    only_blob(settings).unlink()
    lost = client.get(f"/images/{image}/content")

    again = upload(client)

    assert lost.status_code == 404
    assert again == image
    assert client.get(f"/images/{image}/content").content == scene_bytes(1)


@on_sqlite_only
def test_damaged_blob_is_not_served(client: TestClient, settings: Settings) -> None:
    image = upload(client)
    blob = only_blob(settings)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")

    answer = client.get(f"/images/{image}/content")

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/content-damaged")


@on_sqlite_only
def test_damaged_blob_that_is_streamed_breaks_off(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_CHECKED_BYTES", 0)
    image = upload(client)
    blob = only_blob(settings)
    whole = client.get(f"/images/{image}/content").content
    blob.write_bytes(whole[:-1] + b"x")

    with pytest.raises(images.BreaksOff):
        client.get(f"/images/{image}/content")

    assert whole == scene_bytes(1)


@on_sqlite_only
def test_link_in_the_blob_folder_is_not_followed(
    client: TestClient, settings: Settings, tmp_path: Path
) -> None:
    image = upload(client)
    blob = only_blob(settings)
    secret = tmp_path / "secret"
    shutil.move(blob, secret)
    blob.symlink_to(secret)
    as_file = client.get(f"/images/{image}/content").status_code
    blob.unlink()
    shutil.move(secret, blob)
    shutil.move(blob.parent, tmp_path / "elsewhere")
    blob.parent.symlink_to(tmp_path / "elsewhere")

    as_folder = client.get(f"/images/{image}/content").status_code

    assert (as_file, as_folder) == (404, 404)
    with pytest.raises(ValueError, match="illegal"):
        BlobStore((settings.data_dir / "blobs").as_uri()).get("../../etc/passwd")


@on_sqlite_only
def test_original_is_served_so_that_a_browser_runs_nothing(client: TestClient) -> None:
    image = upload(client)

    headers = client.get(f"/images/{image}/content").headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["Content-Disposition"] == "inline; filename*=UTF-8''dusk.png"


@on_sqlite_only
def test_full_disk_refuses_uploads_and_reading_goes_on(
    serving: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = upload(serving)
    full = shutil._ntuple_diskusage(total=10**9, used=10**9, free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)

    answer = serving.post("/images", files={"files": scene_bytes(2)})

    assert (answer.status_code, answer.json()["type"]) == (507, "/problems/storage-full")
    assert serving.get("/readyz").json()["storage"] == "storage-full"
    assert serving.get(f"/images/{image}/content").status_code == 200
    monkeypatch.undo()
    assert serving.get("/readyz").json()["storage"] == "writable"
    assert upload(serving, 2) == image + 1


def test_failed_put_leaves_no_blob(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path.as_uri())
    too_long = "images/" + "x" * 300

    with pytest.raises(Exception, match="the blob store failed on 'images/a'"):
        blobs.put_all({"images/a": b"1", too_long: b"2"})

    assert list(blobs.list_all()) == []


@on_sqlite_only
def test_lost_checkpoint_is_reported_without_a_path(
    client: TestClient, add_version: AddVersion, checkpoint: Path, settings: Settings
) -> None:
    add_version(checkpoint, "squares")
    only_blob(settings, "checkpoints").unlink()

    refused = client.post("/model-versions/squares/activate")
    add_version(checkpoint, "squares")

    assert refused.status_code == 409
    assert str(settings.data_dir) not in refused.text
    assert client.post("/model-versions/squares/activate").status_code == 200


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open /srv/hardneg/data/blobs/a-b: denied", "cannot open a-b: denied"),
        (
            "[Errno 2] No such file: '/tmp/hardneg-x/checkpoint'",
            "[Errno 2] No such file: 'checkpoint'",
        ),
        (
            "s3://bucket/pool/x and file:///data/pool/x",
            "s3://bucket/pool/x and file:///data/pool/x",
        ),
        ("3/4 of a/b/c, ask GET /jobs", "3/4 of a/b/c, ask GET /jobs"),
    ],
)
def test_folders_of_this_machine_are_left_out_of_texts(text: str, shown: str) -> None:
    assert without_folders(text) == shown
