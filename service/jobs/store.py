"""SQL for jobs: the lease table and its events."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from service.db import now_of
from service.tables import Job, JobEvent, ScanRange

# A heartbeat renews a lease after a quarter of its time; without one for this share, it was missed.
SIGN_OF_LIFE_SHARE = 1 / 3
# Between two attempts at a job: a job that is due later was queued before the clock was set back.
LONGEST_PAUSE = timedelta(hours=1)


def now(session: Session) -> datetime:
    """Return the time that all workers share."""
    return now_of(session)


def add_job(
    session: Session, *, kind: str, lane: str, params: Mapping[str, object], max_failures: int
) -> Job:
    moment = now(session)
    job = Job(
        kind=kind,
        lane=lane,
        params=dict(params),
        max_failures=max_failures,
        not_before=moment,
        created_at=moment,
    )
    session.add(job)
    session.flush()
    return job


def find_job(session: Session, job_id: int) -> Job | None:
    return session.get(Job, job_id)


def list_jobs(
    session: Session, *, kind: str | None, status: str | None, before_id: int | None, limit: int
) -> Sequence[Job]:
    """Return jobs, newest first."""
    statement = select(Job).order_by(Job.id.desc()).limit(limit)
    if kind is not None:
        statement = statement.where(Job.kind == kind)
    if status is not None:
        statement = statement.where(Job.status == status)
    if before_id is not None:
        statement = statement.where(Job.id < before_id)
    return session.scalars(statement).all()


def count_unfinished(session: Session) -> dict[tuple[str, str], int]:
    """Return the number of jobs by kind and status, of those that wait or run."""
    counts = session.execute(
        select(Job.kind, Job.status, func.count())
        .where(Job.status.in_(["todo", "running"]))
        .group_by(Job.kind, Job.status)
    )
    return {(kind, status): num for kind, status, num in counts}


def count_unfinished_ranges(session: Session) -> dict[str, int]:
    """Return the number of ranges of all scans that are `todo`, and of those that are `running`."""
    counts = session.execute(
        select(ScanRange.status, func.count())
        .where(ScanRange.status.in_(["todo", "running"]))
        .group_by(ScanRange.status)
    )
    return {"todo": 0, "running": 0} | {str(status): num for status, num in counts}


def dead_before(session: Session, lease_s: float) -> datetime:
    """
    Return the time before which leases end that no living worker holds, if the lane's lock is free.

    On SQLite the kernel proves it at once, whatever the clocks say. Postgres frees the lock also
    when a living worker's connection breaks; there the worker must have missed a heartbeat, too.
    """
    if session.get_bind().dialect.name == "sqlite":
        return datetime.max.replace(tzinfo=UTC)
    return now(session) + timedelta(seconds=lease_s * (1 - SIGN_OF_LIFE_SHARE))


def has_claimable(session: Session, lane: str, *, dead_before: datetime | None = None) -> bool:
    """Return whether a lane has a job that `claim` may take, without a lock."""
    moment = now(session)
    claimable = _claimable(lane, moment, dead_before or moment)
    return session.scalars(select(exists().where(*claimable))).one()


def claim(
    session: Session,
    lane: str,
    worker: str,
    lease_s: float,
    *,
    dead_before: datetime | None = None,
) -> Job | None:
    """
    Claim a lane's next job in one statement: a dead worker's job first, then the oldest.

    Returns None when the lane has no job to claim, or while a lease on one of its jobs is valid.
    A dead worker's job is claimed with its death counted as a failed attempt. A worker is dead if
    its lease is over, or, for a caller that holds the lane's lock, ends before `dead_before`.
    """
    moment = now(session)
    claimable = _claimable(lane, moment, dead_before or moment)
    chosen = (
        select(Job.id)
        .where(*claimable)
        .order_by(Job.status != "running", Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    was_running = case((Job.status == "running", 1), else_=0)
    statement = (
        update(Job)
        .where(Job.id == chosen, *claimable)
        .values(
            status="running",
            attempt=Job.attempt + 1,
            num_failures=Job.num_failures + was_running,
            worker=worker,
            lease_until=moment + timedelta(seconds=lease_s),
            started_at=func.coalesce(Job.started_at, moment),
            stage="",
            stage_started_at=moment,
            stage_first_done=0,
            num_done=0,
            num_total=None,
        )
        .returning(Job)
        .execution_options(synchronize_session=False)
    )
    try:
        return session.scalars(statement).one_or_none()
    except IntegrityError:  # another worker was quicker: at most one job of a lane runs
        session.rollback()
        return None


def _claimable(lane: str, moment: datetime, dead_before: datetime) -> list[ColumnElement[bool]]:
    held = aliased(Job)
    is_due = or_(Job.not_before <= moment, Job.not_before > moment + LONGEST_PAUSE)
    return [
        Job.lane == lane,
        or_(
            and_(Job.status == "todo", is_due),
            and_(Job.status == "running", Job.lease_until < dead_before),
        ),
        ~exists().where(
            held.lane == lane, held.status == "running", held.lease_until >= dead_before
        ),
    ]


def update_held(
    session: Session, job_id: int, attempt: int, values: Mapping[str, object]
) -> Job | None:
    """
    Change a running job for one attempt; return None if that attempt no longer holds it.

    On Postgres the row stays locked to the end of the transaction: no other worker can claim the
    job before the transaction's other writes are committed.
    """
    return session.scalars(
        update(Job)
        .where(Job.id == job_id, Job.attempt == attempt, Job.status == "running")
        .values(**values)
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).one_or_none()


def cancel_idle(session: Session, job_id: int) -> Job | None:
    """Cancel a job that no worker runs: a waiting one, or a dead worker's."""
    moment = now(session)
    idle = or_(Job.status == "todo", and_(Job.status == "running", Job.lease_until < moment))
    return session.scalars(
        update(Job)
        .where(Job.id == job_id, idle)
        .values(
            status="cancelled",
            cancel_requested=True,
            attempt=Job.attempt + 1,  # fences off a worker that was thought dead
            lease_until=None,
            worker=None,
            finished_at=moment,
        )
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).one_or_none()


def delete_scan_ranges(session: Session, job_id: int) -> None:
    """Delete the ranges of a job that is over, so that no process goes on with them."""
    session.execute(delete(ScanRange).where(ScanRange.job_id == job_id))


def request_cancel(session: Session, job_id: int) -> Job | None:
    """Request that a job's worker stop; return None if the job does not run."""
    return session.scalars(
        update(Job)
        .where(Job.id == job_id, Job.status == "running")
        .values(cancel_requested=True)
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).one_or_none()


def add_event(
    session: Session, job: Job, kind: str, message: str, data: Mapping[str, object] | None = None
) -> None:
    """
    Add a line to a job's history.

    The caller must have changed the job in the same transaction. That locks its row: a job's
    events become visible in the order of their ids, and a reader of the events after an id
    misses none.
    """
    session.add(
        JobEvent(
            job_id=job.id, attempt=job.attempt, kind=kind, message=message, data=dict(data or {})
        )
    )


def was_running(session: Session, job_id: int) -> bool:
    """Return whether the last state in a job's history is `running`: its worker has died."""
    last = session.scalars(
        select(JobEvent.data)
        .where(JobEvent.job_id == job_id, JobEvent.kind == "state")
        .order_by(JobEvent.id.desc())
        .limit(1)
    ).one_or_none()
    return last is not None and last.get("status") == "running"


def list_events(session: Session, job_id: int, *, after_id: int, limit: int) -> Sequence[JobEvent]:
    """Return a page of a job's events, in order of id."""
    return session.scalars(
        select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.id > after_id)
        .order_by(JobEvent.id)
        .limit(limit)
    ).all()


def last_events(session: Session, job_id: int, limit: int) -> list[JobEvent]:
    """Return a job's newest events, in order of id."""
    newest = session.scalars(
        select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id.desc()).limit(limit)
    ).all()
    return list(reversed(newest))
