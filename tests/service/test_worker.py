import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Lock, Thread

import pytest

from service.db import open_engine
from service.errors import ServiceError
from service.images.errors import EmptyFile
from service.jobs import service
from service.jobs.running import LeaseLost, RunningJob, TransientError
from service.locks import try_lock
from service.worker.loop import Worker
from tests.service.job_kinds import COUNT, CountParams, Jobs, kind_of, wait_until


def test_finished_job_shows_its_result_and_history(jobs: Jobs) -> None:
    def work(job: RunningJob) -> Mapping[str, object]:
        job.progress("working", 3, 4)
        job.log("epoch 1", {"loss": 0.5})
        return {"answer": 42}

    job_id = jobs.enqueue(kind_of(work))

    assert jobs.run_once(kind_of(work)) is True

    job = jobs.show(job_id)
    assert (job.status, job.result, job.failure) == ("done", {"answer": 42}, None)
    assert (job.progress.stage, job.progress.done, job.progress.total) == ("working", 3, 4)
    assert [event.kind for event in job.events] == ["state", "state", "log", "state"]
    assert job.events[2].data == {"loss": 0.5}
    assert jobs.run_once(kind_of(work)) is False


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("loss is nan at step 7"), "ValueError: loss is nan at step 7"),
        (EmptyFile(), "the file has no bytes"),
    ],
)
def test_permanent_failure_is_not_retried(
    jobs: Jobs, error: ValueError | ServiceError, reason: str
) -> None:
    def work(_: RunningJob) -> Mapping[str, object]:
        raise error

    job_id = jobs.enqueue(kind_of(work))

    jobs.run_once(kind_of(work))

    job = jobs.show(job_id)
    assert (job.status, job.failure, job.num_failures) == ("failed", reason, 1)
    assert job.events[-1].message == f"failed: {reason}"


def test_transient_failure_is_retried_until_the_limit(jobs: Jobs) -> None:
    def work(job: RunningJob) -> Mapping[str, object]:
        raise TransientError(f"bucket unreachable in attempt {job.attempt}")

    job_id = jobs.enqueue(kind_of(work))

    attempts = 0
    while jobs.run_once(kind_of(work)):
        attempts += 1
        status = jobs.show(job_id).status
        assert status == ("todo" if attempts < 3 else "failed")

    job = jobs.show(job_id)
    assert (attempts, job.num_failures) == (3, 3)
    assert job.failure == "TransientError: bucket unreachable in attempt 3"


def test_retry_can_succeed(jobs: Jobs) -> None:
    def work(job: RunningJob) -> Mapping[str, object]:
        if job.attempt == 1:
            raise OSError("no space")
        return {}

    job_id = jobs.enqueue(kind_of(work))

    jobs.run_once(kind_of(work))
    jobs.run_once(kind_of(work))

    job = jobs.show(job_id)
    assert (job.status, job.failure, job.num_failures) == ("done", None, 1)


def test_job_of_an_unknown_kind_fails_with_its_name(jobs: Jobs) -> None:
    job_id = jobs.enqueue(kind_of(lambda _: {}, name="future"))

    jobs.run_once(kind_of(lambda _: {}))

    assert (
        jobs.show(job_id).failure == "ValueError: this worker does not know the job kind 'future'"
    )


def test_running_job_stops_when_it_is_cancelled(jobs: Jobs) -> None:
    started = Event()

    def work(job: RunningJob) -> Mapping[str, object]:
        started.set()
        while True:
            time.sleep(0.01)
            job.raise_if_stopped()

    kind = kind_of(work)
    job_id = jobs.enqueue(kind)
    thread = Thread(target=jobs.run_once, args=[kind])
    thread.start()
    started.wait(10)

    requested = service.cancel(jobs.sessions, jobs.blobs, job_id)
    thread.join(10)

    assert (requested.status, requested.cancel_requested) == ("running", True)
    job = jobs.show(job_id)
    assert job.status == "cancelled"
    assert job.finished_at is not None


def test_stopping_worker_returns_its_job_and_the_next_one_resumes_it(
    jobs: Jobs, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    job_id = jobs.enqueue(COUNT, CountParams(to=30, out=str(out), pause_s=0.02))
    stopping = Event()
    thread = Thread(target=jobs.worker(COUNT, stopping=stopping).run)
    thread.start()
    wait_until(lambda: out.exists() and len(out.read_text().splitlines()) >= 3)

    stopping.set()
    thread.join(10)
    returned = jobs.show(job_id)
    jobs.run_once(COUNT)

    assert (returned.status, returned.num_failures) == ("todo", 0)
    assert jobs.show(job_id).status == "done"
    assert [int(line.split()[1]) for line in out.read_text().splitlines()] == [*range(1, 31)]


def test_attempt_without_its_lease_writes_nothing(jobs: Jobs) -> None:
    kind = kind_of(lambda _: {})
    job_id = jobs.enqueue(kind)
    slow = jobs.claim(kind.lane)
    assert slow is not None
    jobs.end_lease(job_id)
    assert jobs.claim(kind.lane) is not None

    with pytest.raises(LeaseLost):
        slow.save_resume({"epoch": 3})
    with pytest.raises(LeaseLost), slow.transaction():
        pytest.fail("a transaction began")
    with pytest.raises(LeaseLost):
        slow.log("still here")
    with pytest.raises(LeaseLost):
        slow.raise_if_stopped()
    job = jobs.show(job_id)
    assert (job.status, job.attempt, job.num_failures) == ("running", 2, 1)
    with jobs.sessions.begin() as session:
        assert service.get_job(session, job_id).resume is None


def test_result_of_an_attempt_without_its_lease_is_not_saved(jobs: Jobs) -> None:
    def work(job: RunningJob) -> Mapping[str, object]:
        jobs.end_lease(job.id)
        assert jobs.claim("lane") is not None
        return {"late": True}

    job_id = jobs.enqueue(kind_of(work))

    jobs.run_once(kind_of(work))

    job = jobs.show(job_id)
    assert (job.status, job.result, job.attempt) == ("running", None, 2)


def test_heartbeat_renews_the_lease_during_a_long_step(jobs: Jobs) -> None:
    def work(_: RunningJob) -> Mapping[str, object]:
        time.sleep(1.5)
        return {"claimed meanwhile": jobs.claim("lane") is not None}

    job_id = jobs.enqueue(kind_of(work))
    worker = Worker(
        jobs.engine, jobs.blobs, jobs.settings, [kind_of(work)], Event(), lease_s=0.5, beat_s=0.05
    )

    worker.work_once("lane")

    assert jobs.show(job_id).result == {"claimed meanwhile": False}


def test_expired_lease_of_a_live_process_is_not_claimed(jobs: Jobs) -> None:
    kind = kind_of(lambda _: {})
    job_id = jobs.enqueue(kind)
    other = open_engine(jobs.database_url)
    with try_lock(other, "jobs-lane") as held:
        assert held
        jobs.claim("lane")
        jobs.end_lease(job_id)

        claimed_while_alive = jobs.run_once(kind)
    claimed_after_death = jobs.run_once(kind)

    other.dispose()
    assert (claimed_while_alive, claimed_after_death) == (False, True)


def test_job_that_kills_its_workers_fails(jobs: Jobs) -> None:
    kind = kind_of(lambda _: {})
    job_id = jobs.enqueue(kind)
    for _ in range(3):
        assert jobs.claim("lane") is not None
        jobs.end_lease(job_id)

    jobs.run_once(kind)

    job = jobs.show(job_id)
    assert job.status == "failed"
    assert job.failure == "the worker died; 3 attempts have failed"


def test_simultaneous_claims_get_one_job_of_a_lane(jobs: Jobs) -> None:
    for _ in range(8):
        jobs.enqueue(kind_of(lambda _: {}))
    barrier = Barrier(8)

    def claim(_: int) -> RunningJob | None:
        barrier.wait()
        return jobs.claim("lane")

    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(claim, range(8)))

    assert len([job for job in claimed if job is not None]) == 1


def test_workers_never_run_two_jobs_of_a_lane_at_once(jobs: Jobs) -> None:
    lock = Lock()
    now_running, most_running, runs = 0, 0, 0

    def work(job: RunningJob) -> Mapping[str, object]:
        nonlocal now_running, most_running, runs
        with lock:
            now_running, runs = now_running + 1, runs + 1
            most_running = max(most_running, now_running)
        time.sleep(0.05)
        with lock:
            now_running -= 1
        return {}

    kind = kind_of(work)
    ids = [jobs.enqueue(kind) for _ in range(6)]
    stopping = Event()
    engines = [open_engine(jobs.database_url) for _ in range(3)]
    workers = [jobs.worker(kind, stopping=stopping, engine=engine) for engine in engines]
    threads = [Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()

    wait_until(lambda: all(jobs.show(job_id).status == "done" for job_id in ids))
    stopping.set()
    for thread in threads:
        thread.join()

    for engine in engines:
        engine.dispose()
    assert (most_running, runs) == (1, 6)


def test_lanes_run_in_parallel(jobs: Jobs) -> None:
    together = Barrier(2, timeout=10)

    def work(_: RunningJob) -> Mapping[str, object]:
        together.wait()
        return {}

    kinds = [kind_of(work, name=lane, lane=lane) for lane in ("training", "import")]
    ids = [jobs.enqueue(kind) for kind in kinds]
    stopping = Event()
    thread = Thread(target=jobs.worker(*kinds, stopping=stopping).run)
    thread.start()

    wait_until(lambda: all(jobs.show(job_id).status == "done" for job_id in ids))
    stopping.set()
    thread.join()
