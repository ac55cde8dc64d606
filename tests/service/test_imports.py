import gzip
import io
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import obstore
import pytest
from fastapi.testclient import TestClient
from httpx2 import Client, Response
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from service.app import create_app
from service.blobs import BlobStore
from service.db import open_engine
from service.imports.archives import is_archive, open_archive
from service.imports.entries import Limits, UnreadableEntry, UnreadableSource
from service.imports.job import IMPORT
from service.settings import Settings
from service.worker.loop import Worker
from tests.databases import on_sqlite_only
from tests.service.clients import local_client
from tests.service.pictures import picture

LIMITS = Limits(max_file_bytes=2 * 1024**2, max_total_bytes=4 * 1024**2, max_files=10)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]  # str
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    folder = tmp_path / "pool"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(database_url: str, tmp_path: Path, pool: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        device="cpu",
        embedded_worker=False,
        import_roots=f"{pool}, s3://bucket/pool",
        max_import_files=10,
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with local_client(create_app(settings)) as client:
        yield client


@pytest.fixture
def work(settings: Settings) -> Iterator[Callable[[], bool]]:
    engine = open_engine(settings.sqlalchemy_url)
    blobs = BlobStore(settings.blob_store_url)
    worker = Worker(engine, blobs, settings, [IMPORT], Event(), retry_after_s=0)
    yield lambda: worker.work_once(IMPORT.lane)
    engine.dispose()


def upload(client: TestClient, archive: bytes, **form: str) -> Response:
    return client.post("/imports", files={"archive": ("pool.zip", archive)}, data=form)


@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
def test_archive_is_imported_and_refusals_are_listed(
    client: TestClient,
    work: Callable[[], bool],
    settings: Settings,
    pack: Callable[[dict[str, bytes]], bytes],
) -> None:
    files = {
        "a/1.png": picture(1),
        "a/2.png": picture(2),
        "b/1-again.png": picture(1),
        "notes.txt": b"not an image",
        "../out.png": picture(3),
        "__MACOSX/._1.png": b"not of interest",
    }

    response = upload(client, pack(files), source="yard")
    work()

    assert response.status_code == 202
    job = client.get(response.headers["Location"]).json()
    assert job["status"] == "done"
    result = job["result"]
    assert (result["stored"], result["known"], result["num_refused"]) == (2, 1, 2)
    assert {item["file_name"] for item in result["refused"]} == {"notes.txt", "../out.png"}
    images = client.get("/images", params={"source": "yard"}).json()["items"]
    assert sorted(image["file_name"] for image in images) == ["a/1.png", "a/2.png"]
    with pytest.raises(FileNotFoundError):
        BlobStore(settings.blob_store_url).get(job["params"]["upload_key"])


def test_folder_is_imported(client: TestClient, work: Callable[[], bool], pool: Path) -> None:
    (pool / "day").mkdir()
    (pool / "day" / "1.png").write_bytes(picture(1))
    (pool / "2.png").write_bytes(picture(2))
    (pool / "stolen.png").symlink_to("/etc/hostname")

    body = {"uri": str(pool), "split": "negative-test"}
    response = client.post("/imports", json=body)
    work()

    result = client.get(response.headers["Location"]).json()["result"]
    assert (result["stored"], result["num_refused"]) == (2, 1)
    assert result["refused"][0]["reason"] == "it is a link that leads out of the folder"
    assert len(client.get("/images", params={"split": "negative-test"}).json()["items"]) == 2


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    """Start a fake S3 with an empty bucket, and point this process's stores to it."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    with Client(base_url=f"http://{host}:{port}") as client:
        client.post("/moto-api/reset").raise_for_status()
        client.put("/bucket").raise_for_status()
    yield S3Store("bucket")
    server.stop()


def test_bucket_prefix_is_imported(
    client: TestClient, work: Callable[[], bool], bucket: S3Store
) -> None:
    obstore.put(bucket, "pool/day/1.png", picture(1))
    obstore.put(bucket, "pool/2.png", picture(2))
    obstore.put(bucket, "pool/notes.txt", b"no image")
    obstore.put(bucket, "private/3.png", picture(3))

    response = client.post("/imports", json={"uri": "s3://bucket/pool/", "source": "bucket"})
    work()

    job = client.get(response.headers["Location"]).json()
    assert job["status"] == "done", job["failure"]
    assert (job["result"]["stored"], job["result"]["num_refused"]) == (2, 1)
    assert job["result"]["refused"][0]["file_name"] == "notes.txt"
    images = client.get("/images", params={"source": "bucket"}).json()["items"]
    assert sorted(image["file_name"] for image in images) == ["2.png", "day/1.png"]


def test_import_continues_where_a_dead_worker_stopped(
    client: TestClient, work: Callable[[], bool], settings: Settings, pool: Path
) -> None:
    for number in range(3):
        (pool / f"{number}.png").write_bytes(picture(number))
    response = client.post("/imports", json={"uri": str(pool)})
    engine = open_engine(settings.sqlalchemy_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            """UPDATE jobs SET resume = '{"seen": 2, "stored": 2}', num_failures = 1"""
        )
    engine.dispose()

    work()

    result = client.get(response.headers["Location"]).json()["result"]
    assert (result["seen"], result["stored"]) == (3, 3)
    assert len(client.get("/images").json()["items"]) == 1


@on_sqlite_only
@pytest.mark.parametrize(
    "uri",
    [
        "/etc",
        "file:///etc",
        "{pool}/../data",
        "{pool}-other",
        "s3://bucket/poolside",
        "s3://bucket/pool/../private",
        "s3://other/pool",
        "s3://bucket/pool/%2e%2e/private",
        "s3://bucket/pool/%252e%252e/private",
        "s3://bucket/pool/..%5cprivate",
        "s3://bucket/pool/..\\private",
        "s3://bucket/pool#/../private",
        "s3://[x",
        "//[",
        "file:///tmp/%00",
        "{pool}/loop",
        "https://example.org/pool",
        "pool",
    ],
)
def test_place_that_the_settings_do_not_allow_is_403(
    client: TestClient, pool: Path, uri: str
) -> None:
    (pool / "loop").symlink_to(pool / "loop")

    response = client.post("/imports", json={"uri": uri.format(pool=pool)})

    assert response.status_code == 403
    assert response.json()["type"] == "/problems/place-not-allowed"


@on_sqlite_only
def test_missing_folder_fails_the_job_with_the_reason(
    client: TestClient, work: Callable[[], bool], pool: Path
) -> None:
    response = client.post("/imports", json={"uri": f"{pool}/missing"})
    work()

    job = client.get(response.headers["Location"]).json()
    assert job["status"] == "failed"
    assert "there is no folder" in job["failure"]


@on_sqlite_only
@pytest.mark.parametrize("archive", [b"neither", b"", b"\x1f\x8b\x08", b"\x1f\x8b", b"BZh"])
def test_file_that_is_not_an_archive_is_415(client: TestClient, archive: bytes) -> None:
    assert upload(client, archive).status_code == 415


@on_sqlite_only
def test_body_that_is_neither_a_form_nor_json_is_415(client: TestClient) -> None:
    assert client.post("/imports", content=b"x").status_code == 415


@on_sqlite_only
@pytest.mark.parametrize(
    "body", [{}, {"uri": ""}, {"uri": "/x", "split": "train"}, {"uri": "/x", "more": 1}, [1]]
)
def test_invalid_json_is_422(client: TestClient, body: object) -> None:
    response = client.post("/imports", json=body)

    assert response.status_code == 422
    assert response.json()["errors"]


@on_sqlite_only
def test_invalid_form_is_422(client: TestClient) -> None:
    assert upload(client, zipped({}), split="val").status_code == 422
    assert client.post("/imports", data={"split": "pool"}, files={}).status_code in (415, 422)
    wrong_field = client.post("/imports", files={"file": ("a.zip", zipped({}))})
    assert wrong_field.status_code == 422


@on_sqlite_only
def test_form_with_an_unusable_charset_is_400(client: TestClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="source"\r\n\r\nyard\r\n--x--\r\n'
    media_type = "multipart/form-data; boundary=x; charset=undefined"

    response = client.post("/imports", content=body, headers={"Content-Type": media_type})

    assert response.status_code == 400
    assert "charset" in response.json()["detail"]


def read_all(archive: bytes) -> dict[str, bytes | str]:
    """Return the content of each file, or the reason why it has none."""
    found: dict[str, bytes | str] = {}
    with open_archive(io.BytesIO(archive), LIMITS) as source:
        for entry in source.entries:
            try:
                found[entry.name] = entry.read()
            except UnreadableEntry as error:
                found[entry.name] = str(error)
    return found


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_of_every_compression_is_read(mode: str) -> None:
    assert read_all(tarred({"a": b"1", "b": b"2"}, mode)) == {"a": b"1", "b": b"2"}


def test_links_and_devices_are_refused() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"kind-{kind.decode()}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    zip_buffer = io.BytesIO()
    with zipfile.ZipFile(zip_buffer, "w") as zip_archive:
        zip_archive.writestr(link, "/etc/passwd")

    refusals = [*read_all(buffer.getvalue()).values(), *read_all(zip_buffer.getvalue()).values()]

    assert refusals == ["it is a link or a device, not a plain file"] * 5


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "..\\a"])
def test_paths_out_of_the_archive_are_refused(name: str) -> None:
    for archive in (zipped({name: b"1"}), tarred({name: b"1"})):
        assert list(read_all(archive).values()) == ["its path leads out of the archive"]


def test_bombs_are_refused() -> None:
    one_large = zipped({"large": bytes(3 * 1024**2)})
    shrunk = zipped({"zeros": bytes(2 * 1024**2)})
    many = tarred({str(number): bytes(1024**2) for number in range(5)})
    too_many = zipped({str(number): b"" for number in range(11)})

    assert "larger than" in str(read_all(one_large)["large"])
    assert "200 times" in str(read_all(shrunk)["zeros"])
    with pytest.raises(UnreadableSource, match="unpacks to more than"):
        read_all(many)
    with pytest.raises(UnreadableSource, match="11 files"):
        read_all(too_many)


def test_tar_header_that_would_fill_the_memory_is_refused() -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 2**32
    archive = info.tobuf(tarfile.USTAR_FORMAT) + bytes(2 * tarfile.BLOCKSIZE)

    with pytest.raises(UnreadableSource, match="a header of"):
        read_all(archive)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_endless_tar_header_is_not_decompressed_to_recognise_a_tar(kind: bytes) -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 64 * 1024**2
    archive = io.BytesIO(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(info.size)))

    tracemalloc.start()
    found = is_archive(archive)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert not found
    assert peak_bytes < 8 * 1024**2


def test_damaged_member_is_refused_and_the_rest_is_read() -> None:
    archive = bytearray(zipped({"a": picture(1), "b": b"2"}))
    archive[200] ^= 0xFF

    found = read_all(bytes(archive))

    assert str(found["a"]).startswith("it cannot be unpacked")
    assert found["b"] == b"2"


def test_file_without_a_name_is_refused_and_the_rest_is_imported(
    client: TestClient, work: Callable[[], bool]
) -> None:
    archive = zipped({"to-be-erased": b"no image", "a.png": picture(1)})

    response = upload(client, archive.replace(b"to-be-erased", bytes(len("to-be-erased"))))
    work()

    job = client.get(response.headers["Location"]).json()
    assert (job["status"], job["result"]["stored"]) == ("done", 1), job["failure"]
    assert job["result"]["refused"] == [{"file_name": "", "reason": "it has no name"}]


def test_truncated_tar_is_imported_up_to_its_end(
    client: TestClient, work: Callable[[], bool]
) -> None:
    archive = tarred({f"{number}.png": picture(number) for number in range(3)}, "w")

    response = upload(client, archive[: len(archive) // 2])
    work()

    job = client.get(response.headers["Location"]).json()
    assert job["status"] == "done"
    assert job["result"]["stored"] >= 1
    assert job["result"]["num_refused"] >= 1


@pytest.mark.parametrize("ending", ["cancelled", "failed"])
def test_archive_is_deleted_when_its_import_is_cancelled_or_fails(
    client: TestClient, work: Callable[[], bool], settings: Settings, ending: str
) -> None:
    archive = zipped({"a.png": picture(1)})
    if ending == "failed":  # its directory can be read, so it is accepted, but lists too many files
        archive = zipped({f"{number}.txt": b"" for number in range(settings.max_import_files + 1)})
    path = upload(client, archive).headers["Location"]
    kept_before = [*(settings.data_dir / "blobs" / "uploads").iterdir()]

    if ending == "cancelled":
        client.post(f"{path}/cancel")
    work()

    assert client.get(path).json()["status"] == ending
    assert len(kept_before) == 1
    assert [*(settings.data_dir / "blobs" / "uploads").iterdir()] == []
