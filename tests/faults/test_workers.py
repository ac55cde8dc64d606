"""A dead worker is noticed at once, and costs a job nothing if the job makes progress."""

import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from service.db import open_engine
from service.imports import run as imports
from service.imports.job import IMPORT
from service.imports.schemas import ImportParams
from service.jobs.running import RunningJob
from service.locks import try_lock
from service.tables import Job, utc_now
from tests.databases import on_sqlite_only
from tests.service.job_kinds import Jobs, kind_of
from tests.service.test_imports import zipped

KIND = kind_of(lambda _: {})


def set_columns(jobs: Jobs, job_id: int, **values: object) -> None:
    with jobs.sessions.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


@on_sqlite_only
def test_job_of_a_worker_that_died_just_now_is_claimed_at_once(jobs: Jobs) -> None:
    jobs.enqueue(KIND)
    assert jobs.claim("lane") is not None  # with a lease of 60 s, and without the kernel's lock

    assert jobs.run_once(KIND)


def test_missed_heartbeat_and_a_free_lock_prove_a_worker_dead(jobs: Jobs) -> None:
    job_id = jobs.enqueue(KIND)
    assert jobs.claim("lane") is not None
    set_columns(jobs, job_id, lease_until=utc_now() + timedelta(seconds=39))

    assert jobs.run_once(KIND)


def test_job_of_a_worker_that_holds_its_lock_is_not_claimed(jobs: Jobs) -> None:
    jobs.enqueue(KIND)
    assert jobs.claim("lane") is not None

    other = open_engine(jobs.database_url)
    with try_lock(other, "jobs-lane") as held:
        is_claimed = jobs.run_once(KIND)
    other.dispose()

    assert held
    assert not is_claimed


def test_deaths_with_progress_between_them_do_not_fail_a_job(jobs: Jobs) -> None:
    job_id = jobs.enqueue(KIND)
    for number in range(5):
        attempt = jobs.claim("lane")
        assert attempt is not None
        attempt.save_resume({"number": number})
        jobs.end_lease(job_id)

    jobs.run_once(KIND)

    assert jobs.show(job_id).status == "done"


def test_failure_after_progress_is_the_first_one_again(jobs: Jobs) -> None:
    def fail_after_progress(job: RunningJob) -> Mapping[str, object]:
        job.save_resume({"attempt": job.attempt})
        if job.attempt < 5:
            raise OSError("the disk is away")
        return {}

    kind = kind_of(fail_after_progress)
    job_id = jobs.enqueue(kind)

    while jobs.run_once(kind):
        pass

    assert jobs.show(job_id).status == "done"


@on_sqlite_only
def test_clock_that_is_set_back_a_day_stalls_no_job(jobs: Jobs) -> None:
    queued, dead = jobs.enqueue(KIND), jobs.enqueue(kind_of(lambda _: {}, lane="other"))
    assert jobs.claim("other") is not None
    tomorrow = utc_now() + timedelta(days=1)
    set_columns(jobs, queued, not_before=tomorrow)
    set_columns(jobs, dead, lease_until=tomorrow)

    assert jobs.run_once(KIND)
    assert jobs.run_once(kind_of(lambda _: {}, lane="other"))


@on_sqlite_only
def test_killed_import_leaves_no_copy_of_its_archive(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    jobs.blobs.put("uploads/archive", zipped({"a.png": b"1"}))
    params = ImportParams(split="pool", source="", upload_key="uploads/archive", file_name="a.zip")
    jobs.enqueue(IMPORT, params)
    job = jobs.claim(IMPORT.lane)
    assert job is not None

    with imports._open_source(job, params) as source:
        names = [entry.name for entry in source.entries]

        assert names == ["a.png"]
        assert list(folder.iterdir()) == []
