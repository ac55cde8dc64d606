import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.jobs.running import RunningJob
from tests.service.clients import local_client
from tests.service.job_kinds import Jobs, kind_of
from tests.service.servers import free_port, running_server


@pytest.fixture
def client(jobs: Jobs) -> Iterator[TestClient]:
    with local_client(create_app(jobs.settings)) as client:
        yield client


def train(job: RunningJob) -> Mapping[str, object]:
    for epoch in (1, 2):
        job.progress("training", epoch, 2)
        job.log(f"epoch {epoch} of 2", {"loss": 1 / epoch})
    return {"model_version": "v2"}


TRAIN = kind_of(train, name="retrain", lane="training")


def read_events(text: str) -> list[dict[str, str]]:
    """Return the fields of each server-sent event, in order."""
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    return [dict(line.split(": ", 1) for line in block) for block in blocks]


def test_waiting_job_is_shown(client: TestClient, jobs: Jobs) -> None:
    job_id = jobs.enqueue(TRAIN)

    job = client.get(f"/jobs/{job_id}").json()

    assert (job["kind"], job["status"], job["attempt"]) == ("retrain", "todo", 0)
    assert job["progress"] == {"stage": "", "done": 0, "total": None, "eta": None}
    assert job["links"]["events"] == f"/jobs/{job_id}/events"
    assert [event["message"] for event in job["events"]] == ["queued"]


def test_running_job_has_an_eta(client: TestClient, jobs: Jobs) -> None:
    job_id = jobs.enqueue(TRAIN)
    running = jobs.claim("training")
    assert running is not None
    running.write({"num_done": 10, "num_total": 20, "stage": "training"})
    time.sleep(0.1)

    job = client.get(f"/jobs/{job_id}").json()

    assert job["status"] == "running"
    assert job["progress"]["eta"] > job["started_at"]


def test_jobs_are_listed_newest_first_in_pages(client: TestClient, jobs: Jobs) -> None:
    ids = [jobs.enqueue(TRAIN) for _ in range(3)]

    first = client.get("/jobs", params={"limit": 2}).json()
    second = client.get("/jobs", params={"limit": 2, "before_id": first["next_before_id"]}).json()

    listed = [job["id"] for job in first["items"] + second["items"]]
    assert listed == ids[::-1]
    assert second["next_before_id"] is None


def test_jobs_can_be_filtered(client: TestClient, jobs: Jobs) -> None:
    done = jobs.enqueue(TRAIN)
    jobs.run_once(TRAIN)
    waiting = jobs.enqueue(kind_of(train, name="import"))

    def listed(**params: str) -> list[int]:
        return [job["id"] for job in client.get("/jobs", params=params).json()["items"]]

    assert listed(status="done") == [done]
    assert listed(kind="import") == [waiting]
    assert listed(kind="import", status="done") == []


def test_waiting_job_is_cancelled_at_once(client: TestClient, jobs: Jobs) -> None:
    job_id = jobs.enqueue(TRAIN)

    response = client.post(f"/jobs/{job_id}/cancel")
    again = client.post(f"/jobs/{job_id}/cancel")

    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")
    assert jobs.run_once(TRAIN) is False


def test_cancelling_a_running_job_requests_its_stop(client: TestClient, jobs: Jobs) -> None:
    job_id = jobs.enqueue(TRAIN)
    jobs.claim("training")

    response = client.post(f"/jobs/{job_id}/cancel")

    assert response.status_code == 202
    assert (response.json()["status"], response.json()["cancel_requested"]) == ("running", True)


def test_dead_workers_job_is_cancelled_at_once(client: TestClient, jobs: Jobs) -> None:
    job_id = jobs.enqueue(TRAIN)
    jobs.claim("training")
    jobs.end_lease(job_id)

    response = client.post(f"/jobs/{job_id}/cancel")

    assert (response.status_code, response.json()["status"]) == (200, "cancelled")


def test_job_that_is_over_cannot_be_cancelled(client: TestClient, jobs: Jobs) -> None:
    job_id = jobs.enqueue(TRAIN)
    jobs.run_once(TRAIN)

    response = client.post(f"/jobs/{job_id}/cancel")

    assert response.status_code == 409
    assert response.json()["type"] == "/problems/job-is-over"


@pytest.mark.parametrize("path", ["", "/events"])
def test_unknown_job_is_404(client: TestClient, path: str) -> None:
    response = client.get(f"/jobs/99{path}")

    assert response.status_code == 404
    assert response.json()["type"] == "/problems/unknown-job"


def test_events_are_streamed_to_the_end(client: TestClient, jobs: Jobs) -> None:
    job_id = jobs.enqueue(TRAIN)
    jobs.run_once(TRAIN)

    response = client.get(f"/jobs/{job_id}/events")

    assert response.headers["content-type"].startswith("text/event-stream")
    events = read_events(response.text)
    assert [event["event"] for event in events] == [
        "state", "state", "log", "log", "state", "progress", "end"
    ]  # fmt: skip
    assert json.loads(events[3]["data"])["data"] == {"loss": 0.5}
    assert json.loads(events[5]["data"])["result"] == {"model_version": "v2"}


def test_reconnecting_client_gets_the_events_it_missed(client: TestClient, jobs: Jobs) -> None:
    job_id = jobs.enqueue(TRAIN)
    jobs.run_once(TRAIN)
    all_events = read_events(client.get(f"/jobs/{job_id}/events").text)

    headers = {"Last-Event-ID": all_events[2]["id"]}
    response = client.get(f"/jobs/{job_id}/events", headers=headers)

    assert read_events(response.text) == all_events[3:]


@pytest.mark.slow
def test_open_event_stream_does_not_keep_a_server_from_stopping(tmp_path: Path) -> None:
    jobs = Jobs(f"sqlite:///{tmp_path / 'hardneg.sqlite3'}", tmp_path)

    with running_server(jobs.database_url, tmp_path, free_port(), shutdown_timeout_s=60) as (
        server,
        client,
    ):
        job_id = jobs.enqueue(TRAIN)
        with client.stream("GET", f"/jobs/{job_id}/events", timeout=60) as stream:
            first = next(stream.iter_lines())
            server.terminate()
            server.join(30)
        has_stopped = not server.is_alive()

    jobs.engine.dispose()
    assert first == "event: state"
    assert has_stopped
