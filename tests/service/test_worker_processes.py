"""Worker processes that are killed or stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.job_kinds import COUNT, CountParams, Jobs, wait_until


@pytest.mark.slow
def test_job_of_a_killed_worker_is_resumed_by_another(jobs: Jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job_id = jobs.enqueue(COUNT, CountParams(to=60, out=str(out), pause_s=0.05))
    killed = jobs.start_worker()
    wait_until(lambda: out.exists() and len(out.read_text().splitlines()) >= 5)

    killed.kill()
    killed.join()
    at_death = jobs.show(job_id)
    other = jobs.start_worker()
    wait_until(lambda: jobs.show(job_id).status == "done")
    other.terminate()
    other.join(10)

    assert other.exitcode == 0
    assert at_death.status == "running"
    lines = [tuple(map(int, line.split())) for line in out.read_text().splitlines()]
    first = [number for attempt, number in lines if attempt == 1]
    second = [number for attempt, number in lines if attempt == 2]
    assert lines == [(1, n) for n in first] + [(2, n) for n in second]  # never both at once
    assert first[-1] <= second[0] + 1 <= first[-1] + 2  # repeats at most the last number
    assert second[-1] == 60
    assert jobs.show(job_id).num_failures == 0  # the second one made progress


def test_terminated_worker_returns_its_job_and_ends(jobs: Jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job_id = jobs.enqueue(COUNT, CountParams(to=10_000, out=str(out), pause_s=0.02))
    process = jobs.start_worker()
    wait_until(out.exists)

    process.terminate()
    process.join(10)

    assert process.exitcode == 0
    job = jobs.show(job_id)
    assert (job.status, job.num_failures, job.worker) == ("todo", 0, None)
    assert job.events[-1].message == "returned to the queue: the worker is stopping"


def test_worker_does_not_load_torch_before_a_job_needs_it() -> None:
    program = "import sys, service.worker.loop; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


EMBEDDED = """
import sys, time
from pathlib import Path
from service.worker.embedded import start_embedded_worker
from service.logs import set_up_logs
from service.settings import Settings

set_up_logs("info", "json")
worker = start_embedded_worker(Settings(data_dir=Path(sys.argv[1])))
sys.stdin.read()
worker.close()
"""


class Parent:
    """A process with an embedded worker, like the server."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", EMBEDDED, str(folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def next_worker(self) -> int:
        """Wait until a worker is ready, and return its process id."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if '"worker ready"' in line:
                return int(line.split('"worker": "')[1].split('"')[0].rsplit(":")[-1])
        raise AssertionError("no worker was started")


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Parent]:
    parent = Parent(tmp_path)
    yield parent
    parent.process.kill()
    parent.process.wait()
    for pipe in (parent.process.stdin, parent.process.stderr):
        assert pipe is not None
        pipe.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_embedded_worker_dies_with_its_parent(parent: Parent) -> None:
    worker = parent.next_worker()

    parent.process.kill()

    wait_until(lambda: not is_alive(worker))


@pytest.mark.slow
def test_embedded_worker_is_started_again_when_it_dies(parent: Parent) -> None:
    first = parent.next_worker()
    os.kill(first, signal.SIGKILL)

    second = parent.next_worker()
    assert parent.process.stdin is not None
    parent.process.stdin.close()

    assert second != first
    assert parent.process.wait(20) == 0
    assert not is_alive(second)
