"""A training in two processes under torchrun, however it is interrupted."""

import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from service.training_runs.torchrun import num_processes
from tests.databases import on_sqlite_only
from tests.service.job_kinds import start_worker, wait_until
from tests.service.mining import send_everything

REQUEST = {
    "epochs": 6,
    "steps_per_epoch": 8,
    "batch_size": 4,
    "num_negatives": 3,
    "promotion": "never",
    "selection": {"hold": "off"},
}
LIMIT_S = 5.0  # from a death until no process is left
START_S = 300.0  # of a busy machine


class Worker:
    """A worker process that trains in two processes."""

    def __init__(self, settings: Settings) -> None:
        self.process: ForkServerProcess = start_worker(
            settings.sqlalchemy_url, settings.data_dir, train_processes=2
        )

    def trainers(self) -> list[int]:
        """Return the ids of torchrun and of both its processes, once all have started."""
        found: list[int] = []

        def are_complete() -> bool:
            assert self.process.pid is not None
            found[:] = _children(self.process.pid, "torch.distributed.run")
            found.extend(pid for each in found for pid in _children(each, ".training_runs.rank"))
            return len(found) == 3

        wait_until(are_complete, START_S)
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def _children(parent: int, words: str) -> list[int]:
    """Return the ids of child processes whose command line has these words."""
    lists = [path.read_text() for path in Path(f"/proc/{parent}/task").glob("*/children")]
    return [pid for pid in map(int, " ".join(lists).split()) if words in _command_line(pid)]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _is_alive(pid: int) -> bool:
    return bool(_command_line(pid))  # empty for a zombie


def _wait_until_gone(pids: list[int], limit_s: float = LIMIT_S) -> None:
    wait_until(lambda: not any(map(_is_alive, pids)), limit_s)


@pytest.fixture
def start(settings: Settings) -> Iterator[Callable[[], Worker]]:
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker(settings))
        return workers[-1]

    yield start
    for worker in workers:
        if worker.process.is_alive():
            worker.kill()


class Retrain:
    """A retraining as its client sees it."""

    def __init__(self, client: TestClient, **changes: object) -> None:
        response = client.post("/retrain", json=REQUEST | changes)
        assert response.status_code == 202, response.text
        self._client, self._url = client, response.headers["Location"]

    def show(self) -> dict[str, Any]:
        job: dict[str, Any] = self._client.get(self._url).json()
        return job

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until so many lines of the job's history have this text."""

        def is_told() -> bool:
            job = self.show()
            assert job["status"] != "failed", job["failure"]
            return sum(text in event["message"] for event in job["events"]) >= count

        wait_until(is_told, START_S)

    def cancel(self) -> None:
        self._client.post(f"{self._url}/cancel").raise_for_status()

    def checkpoint(self) -> bytes:
        wait_until(lambda: self.show()["status"] in ("done", "failed"), START_S)
        job = self.show()
        assert job["status"] == "done", job["failure"]
        version = job["result"]["rounds"][0]["model_version_id"]
        return self._client.get(f"/model-versions/{version}/checkpoint").content


@pytest.mark.slow
@on_sqlite_only
def test_interrupted_training_leaves_no_process_and_ends_with_the_same_bytes(
    serving: TestClient, start: Callable[[], Worker]
) -> None:
    send_everything(serving)
    first = start()
    expected = Retrain(serving).checkpoint()
    job = Retrain(serving)

    job.wait_for("epoch 1 of")
    torchrun, *ranks = first.trainers()
    os.kill(ranks[1], signal.SIGKILL)
    _wait_until_gone([torchrun, *ranks])
    job.wait_for("next attempt in")

    job.wait_for("epoch 2 of")
    torchrun, *ranks = first.trainers()
    os.kill(torchrun, signal.SIGKILL)
    _wait_until_gone([torchrun, *ranks])
    job.wait_for("next attempt in", 2)

    job.wait_for("epoch 3 of")
    torchrun, *ranks = first.trainers()
    first.kill()
    _wait_until_gone([torchrun, *ranks])

    second = start()
    job.wait_for("epoch 4 of")
    trainers = second.trainers()
    second.process.terminate()  # after the step under way, with its state saved
    _wait_until_gone(trainers, START_S)
    second.process.join(START_S)
    job.wait_for("returned to the queue: the worker is stopping")

    start()
    assert job.checkpoint() == expected


@pytest.mark.slow
@on_sqlite_only
def test_cancelled_training_leaves_no_process(
    serving: TestClient, start: Callable[[], Worker]
) -> None:
    send_everything(serving)
    worker = start()
    job = Retrain(serving, epochs=1000)
    job.wait_for("training in 2 processes")
    trainers = worker.trainers()
    job.cancel()
    _wait_until_gone(trainers, START_S)
    wait_until(lambda: job.show()["status"] == "cancelled")


@pytest.mark.parametrize(("wanted", "batch_size", "expected"), [(3, 16, 2), (4, 16, 4), (2, 5, 1)])
def test_there_are_as_many_processes_as_divide_a_batch(
    wanted: int, batch_size: int, expected: int
) -> None:
    settings = Settings(device="cpu", train_processes=wanted)

    assert num_processes(settings, batch_size) == expected
