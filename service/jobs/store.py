"""SQL for jobs: the lease table and its events."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from service.tables import Job, JobEvent, utc_now

FINISHED = ("done", "failed", "cancelled")


def now(session: Session) -> datetime:
    """The database's clock, which all workers share; SQLite's is this machine's."""
    if session.get_bind().dialect.name == "sqlite":
        return utc_now()
    moment: datetime = session.scalars(select(func.clock_timestamp())).one()
    return moment


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
    """Newest first."""
    statement = select(Job).order_by(Job.id.desc()).limit(limit)
    if kind is not None:
        statement = statement.where(Job.kind == kind)
    if status is not None:
        statement = statement.where(Job.status == status)
    if before_id is not None:
        statement = statement.where(Job.id < before_id)
    return session.scalars(statement).all()


def has_claimable(session: Session, lane: str) -> bool:
    """A look before the lock is taken and the claim is tried."""
    moment = now(session)
    return session.scalars(select(exists().where(*_claimable(lane, moment)))).one()


def claim(session: Session, lane: str, worker: str, lease_s: float) -> Job | None:
    """
    Take a lane's next job in one statement: a dead worker's first, then the oldest.

    None when there is nothing to do, or while a job of the lane is held by a live lease. The
    claim of a dead worker's job counts its death as a failed attempt.
    """
    moment = now(session)
    chosen = (
        select(Job.id)
        .where(*_claimable(lane, moment))
        .order_by(Job.status != "running", Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    was_running = case((Job.status == "running", 1), else_=0)
    statement = (
        update(Job)
        .where(Job.id == chosen, *_claimable(lane, moment))
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
    except IntegrityError:  # another worker was quicker: one job of a lane runs at a time
        session.rollback()
        return None


def _claimable(lane: str, moment: datetime) -> list[ColumnElement[bool]]:
    held = aliased(Job)
    return [
        Job.lane == lane,
        or_(
            and_(Job.status == "todo", Job.not_before <= moment),
            and_(Job.status == "running", Job.lease_until < moment),
        ),
        ~exists().where(held.lane == lane, held.status == "running", held.lease_until >= moment),
    ]


def update_held(
    session: Session, job_id: int, attempt: int, values: Mapping[str, object]
) -> Job | None:
    """
    Change a running job in the name of one attempt; None when another has it now.

    On Postgres the row stays locked to the end of the transaction: nobody can claim the job
    before what else the transaction writes is committed.
    """
    return session.scalars(
        update(Job)
        .where(Job.id == job_id, Job.attempt == attempt, Job.status == "running")
        .values(**values)
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).one_or_none()


def cancel_idle(session: Session, job_id: int) -> Job | None:
    """Cancel a job that nobody works on: a waiting one, or a dead worker's."""
    moment = now(session)
    idle = or_(Job.status == "todo", and_(Job.status == "running", Job.lease_until < moment))
    return session.scalars(
        update(Job)
        .where(Job.id == job_id, idle)
        .values(
            status="cancelled",
            cancel_requested=True,
            attempt=Job.attempt + 1,  # a worker that comes back has lost it
            lease_until=None,
            worker=None,
            finished_at=moment,
        )
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).one_or_none()


def request_cancel(session: Session, job_id: int) -> Job | None:
    """Tell a job's worker to stop; None when the job does not run."""
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

    The caller has changed the job in the same transaction: that locks its row, so that a job's
    events become visible in the order of their ids and a reader that asks for those after an id
    misses none.
    """
    session.add(
        JobEvent(
            job_id=job.id, attempt=job.attempt, kind=kind, message=message, data=dict(data or {})
        )
    )


def list_events(session: Session, job_id: int, *, after_id: int, limit: int) -> Sequence[JobEvent]:
    """In order of id."""
    return session.scalars(
        select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.id > after_id)
        .order_by(JobEvent.id)
        .limit(limit)
    ).all()


def last_events(session: Session, job_id: int, limit: int) -> list[JobEvent]:
    """The newest ones, in order of id."""
    newest = session.scalars(
        select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id.desc()).limit(limit)
    ).all()
    return list(reversed(newest))
