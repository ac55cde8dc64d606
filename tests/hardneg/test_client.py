"""The client against a real server with a worker."""

import json
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from hardneg import Client, ClientError, Refused, TimedOut, Unreachable
from hardneg.calls import hard_negatives, images, jobs
from hardneg.demo.server_process import free_port, running_server
from hardneg.schemas.hard_negatives import Coverage
from hardneg.schemas.jobs import JobEventOut, JobStatus
from hardneg.schemas.recipes import SamplerIn
from hardneg.schemas.training_runs import RetrainRequest
from tests.scenes import RED, encoded, scene, scene_bytes
from tests.service.job_kinds import wait_until
from tests.service.mining import send_everything

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def import_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("imports")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, import_root: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    settings = {"DEVICE": "cpu", "IMPORT_ROOTS": str(import_root)}
    with running_server(folder / "data", port, folder / "server.log", settings):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with httpx.Client(base_url=url, timeout=60) as http:
        send_everything(http)
    with Client(url) as client:
        yield client


@pytest.fixture(scope="module")
def version(client: Client) -> str:
    """Name of a version that serves, made by a short retraining; it has scored the pool."""
    request = RetrainRequest(architecture="ssd_small", name="base", epochs=1, batch_size=4)
    job = client.wait_for_job(client.retrain(request, steps_per_epoch=2).id, timeout_s=300)
    assert job.status is JobStatus.DONE, job.failure
    wait_until(lambda: is_ready(client), timeout_s=60)  # the API looks for a new version
    return "base"


def wait_for_all_scores(client: Client) -> None:
    def is_whole(pool: Coverage) -> bool:
        return pool.scored == pool.images

    wait_until(lambda: is_whole(client.hard_negatives(1).pool), timeout_s=60)


def is_ready(client: Client) -> bool:
    try:
        client.check_ready()
    except Refused:
        return False
    return True


def test_service_is_alive_before_it_is_ready(bare_url: str) -> None:
    with Client(bare_url) as client:
        client.check_alive()

        with pytest.raises(Refused) as refused:
            client.check_ready()

    assert refused.value.problem.status == 503


def test_version_that_serves_makes_the_service_ready(client: Client, version: str) -> None:
    assert client.check_ready() == version
    assert version in [known.name for known in client.model_versions()]
    assert client.model_version(version).scored_images >= 10


def test_upload_takes_paths_and_bytes_and_names_refused_files(
    client: Client, version: str, tmp_path: Path
) -> None:
    (tmp_path / "one.png").write_bytes(scene_bytes(1))

    path, content, broken = client.upload_images(
        [tmp_path / "one.png", ("two.png", scene_bytes(2)), ("broken.png", b"no image")],
        source="uploads",
    )
    (alone,) = client.upload_images([("two.png", scene_bytes(2))], source="uploads")
    (refused,) = client.upload_images([("broken.png", b"no image")])

    assert [path.status, content.status, alone.status] == [201, 201, 200]
    assert [path.file_name, content.file_name] == ["one.png", "two.png"]
    assert alone.image is not None
    assert alone.image.model_version == version
    for item in (broken, refused):
        assert item.problem is not None
        assert item.status == item.problem.status == 415
    assert client.upload_images([]) == []


def test_upload_can_leave_the_scoring_for_later(client: Client, version: str) -> None:
    (item,) = client.upload_images([("later.png", scene_bytes(3))], waits_for_scores=False)

    assert item.status == 202
    assert item.image is not None


def test_missing_file_is_a_client_error(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"cannot read .*missing\.png"):
        client.upload_images([tmp_path / "missing.png"])


def test_image_is_shown_judged_and_deleted(client: Client, version: str) -> None:
    content = scene_bytes(10)
    (item,) = client.upload_images([("ten.png", content)], source="single")
    assert item.image is not None
    image_id = item.image.id

    shown = client.image(image_id)
    judged = client.judge_image(image_id, "unsure")
    taken_back = client.judge_image(image_id, None)

    assert (shown.source, shown.max_score) == ("single", item.image.max_score)
    assert (judged.verdict, taken_back.verdict) == ("unsure", None)
    assert client.image_content(image_id) == content
    with Image.open(BytesIO(client.thumbnail(image_id, 64))) as thumbnail:
        assert thumbnail.size == (64, 64)
    client.delete_image(image_id)
    with pytest.raises(Refused) as refused:
        client.image(image_id)
    assert refused.value.problem.type == "/problems/unknown-image"


def test_score_of_one_image_is_not_stored(client: Client, version: str) -> None:
    score = client.score_image(("new.png", scene_bytes(11)))

    assert score.model_version == version
    assert score.max_score is not None


def test_iterators_go_through_all_pages(
    client: Client, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_all_scores(client)
    pool = list(client.iter_images(split="pool"))
    ranked = client.hard_negatives(len(pool)).items
    for module in (images, hard_negatives, jobs):
        monkeypatch.setattr(module, "PAGE_SIZE", 1)

    assert [image.id for image in client.iter_images(split="pool")] == [image.id for image in pool]
    assert list(client.iter_hard_negatives()) == ranked
    assert [job.id for job in client.iter_jobs()] == [job.id for job in client.jobs().items]


def test_filters_of_the_ranked_list_are_keyword_arguments(client: Client, version: str) -> None:
    wait_for_all_scores(client)
    everything = list(client.iter_hard_negatives(model_version=version, label="red"))
    scores = [item.max_score or 0.0 for item in everything]

    narrowed = client.hard_negatives(
        100, min_score=scores[3], max_score=scores[1], trained=False, verdict="any"
    )

    assert [item.max_score for item in narrowed.items] == scores[1:4]
    assert client.hard_negatives(source="nowhere").items == []
    assert narrowed.pool.scored == narrowed.pool.images


def test_labelled_images_go_in_by_file_and_by_archive(client: Client, tmp_path: Path) -> None:
    pixels, box = scene(20, RED)
    assert box is not None
    x1, y1, x2, y2 = box
    annotations = json.dumps(
        {
            "images": [{"id": 1, "file_name": "red.png"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            ],
            "categories": [{"id": 1, "name": "red"}],
        }
    ).encode()
    archive = tmp_path / "labelled.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("red.png", encoded(pixels))

    first = client.upload_labelled_images(
        annotations, [("red.png", encoded(pixels))], split="val", source="labels"
    )
    again = client.upload_labelled_archive(archive, split="val", annotations=annotations)

    assert [first.items[0].status, again.items[0].status] == [201, 200]
    stored = [item for item in client.iter_labelled_images("val") if item.image.source == "labels"]
    assert [(found.label, found.box.x1) for item in stored for found in item.boxes] == [
        ("red", float(x1))
    ]


def test_imports_from_an_archive_and_from_a_place(
    client: Client, import_root: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", scene_bytes(30))
    (import_root / "b.png").write_bytes(scene_bytes(31))

    uploaded = client.import_archive(archive, source="zip")
    placed = client.import_uri(str(import_root), split="negative-test", source="folder")

    for job in (uploaded, placed):
        over = client.wait_for_job(job.id, timeout_s=120)
        assert over.status is JobStatus.DONE, over.failure
        assert over.result is not None
        assert over.result["stored"] == 1
    with pytest.raises(Refused) as refused:
        client.import_uri("/etc")
    assert refused.value.problem.status == 403


def test_versions_are_downloaded_added_and_activated(
    client: Client, version: str, tmp_path: Path
) -> None:
    path = client.download_checkpoint(version, tmp_path / "base.safetensors")

    known = client.add_checkpoint(path)
    built = client.add_architecture("ssd_small", class_names=["red", "fox"], name="foxes")

    assert known.name == version
    assert sha256(path.read_bytes()).hexdigest() == known.checkpoint_sha256
    assert built.class_names == ["red", "fox"]
    assert client.activate(built.id).is_serving
    assert client.activate(version).name == version
    assert [*tmp_path.iterdir()] == [path]


def test_checkpoint_that_cannot_be_written_is_a_client_error(
    client: Client, version: str, tmp_path: Path
) -> None:
    with pytest.raises(ClientError, match="cannot write"):
        client.download_checkpoint(version, tmp_path / "missing" / "base.safetensors")


def test_events_of_a_job_are_its_history_and_end_with_it(client: Client, version: str) -> None:
    job_id = client.jobs(kind="retrain").items[-1].id

    events = list(client.job_events(job_id))

    lines = [event for event in events if isinstance(event, JobEventOut)]
    assert "all rounds are done" in [line.message for line in lines]
    assert [event.status for event in events if not isinstance(event, JobEventOut)] == ["done"]
    rest = list(client.job_events(job_id, last_event_id=lines[-2].id))
    assert [event.id for event in rest if isinstance(event, JobEventOut)] == [lines[-1].id]


def test_training_run_names_its_version_and_its_images(client: Client, version: str) -> None:
    (run,) = client.iter_training_runs(model_version=version)

    assert client.training_run(run.id) == run
    assert (run.decision, run.parent_version_id) == ("promoted", None)
    roles = [image.role for image in client.iter_training_images(run.id)]
    assert roles == ["labelled"] * run.num_labelled


def test_figures_of_a_version_are_typed(client: Client, version: str) -> None:
    report = client.false_detections(version, threshold=0.4)

    assert (report.model_version, report.threshold) == (version, 0.4)
    assert report.num_images >= 6
    assert version in [row.model_version for row in client.iterations()]


def test_wrong_field_of_a_retraining_is_refused_by_the_service(
    client: Client, version: str
) -> None:
    with pytest.raises(Refused, match=r"body\.learning_rate"):
        client.retrain(learning_rate=-1)


def test_waiting_ends_after_its_time_and_cancelling_ends_the_job(
    client: Client, version: str
) -> None:
    sampler = SamplerIn(name="hard-negative", batch_size_per_image=64)
    job = client.retrain(epochs=500, steps_per_epoch=2, sampler=sampler)
    looks: list[str] = []

    with pytest.raises(TimedOut, match=f"job {job.id} is still"):
        client.wait_for_job(
            job.id, timeout_s=0, on_poll=lambda looked_at: looks.append(looked_at.status)
        )
    client.cancel_job(job.id)

    assert len(looks) == 1
    assert client.wait_for_job(job.id, timeout_s=120).status is JobStatus.CANCELLED


def test_nobody_at_the_address_is_unreachable() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable):
        client.check_alive()
