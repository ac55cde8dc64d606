"""SQL for the ranges of scans: leased by one process at a time."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Interval,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from service.db import insert_rows, now_of
from service.tables import Id, Image, ImageScore, ScanRange, UtcDateTime

MAX_FAILURES = 3  # of a range; then it fails

# Not as parameters: Postgres reads a partial index only for a condition that it knows beforehand.
TODO = ScanRange.status == literal_column("'todo'")
RUNNING = ScanRange.status == literal_column("'running'")


ClaimStatement = ReturningUpdate[int, int, int, str, int, int]


class Scan(NamedTuple):
    """
    The scoring of stored images with one version, cut into ranges.

    Attributes:
        job_id: the job that planned the ranges; None for those that help the service itself.
        version_id: the version.
    """

    job_id: int | None
    version_id: int


class IdRange(NamedTuple):
    """The images of one split after one id and until another, inclusive."""

    split: str
    after_id: int
    until_id: int

    def __str__(self) -> str:
        return f"the images {self.after_id + 1} to {self.until_id} of {self.split}"


class ClaimedRange(NamedTuple):
    """
    A range that a process holds.

    Attributes:
        attempt: the number of this claim; writes for the range name it.
        num_failures: holders before this one that died or left out images.
        was_held: the holder before this one has died.
    """

    id: int
    attempt: int
    num_failures: int
    ids: IdRange
    was_held: bool


def add_ranges(session: Session, scan: Scan, ranges: Sequence[IdRange]) -> None:
    rows: list[dict[str, object]] = [
        {
            "job_id": scan.job_id,
            "model_version_id": scan.version_id,
            **ids._asdict(),
            "status": "todo",
            "attempt": 0,
            "num_failures": 0,
        }
        for ids in ranges
    ]
    insert_rows(session, ScanRange, rows)


def planned_until(session: Session, scan: Scan, split: str) -> int:
    """Return the last id of a split that the ranges of a scan cover, 0 without ranges."""
    last = select(func.max(ScanRange.until_id)).where(*_of(scan), ScanRange.split == split)
    return session.scalars(last).one() or 0


def unscored_ids(
    session: Session,
    version_id: int,
    split: str,
    *,
    after_id: int,
    until_id: int,
    stored_before: datetime | None = None,
) -> Sequence[int]:
    """Return the ids of a split's images that a version has not scored, in order."""
    statement = select(Image.id).where(*_unscored(version_id, IdRange(split, after_id, until_id)))
    if stored_before is not None:
        statement = statement.where(Image.created_at < stored_before)
    return session.scalars(statement.order_by(Image.id)).all()


def find_open_scan(session: Session) -> Scan | None:
    """Return a scan with a range to claim, one of a job if there is any."""
    expired = ScanRange.lease_until < _moment(session)
    of_jobs, of_none = ScanRange.job_id.is_not(None), ScanRange.job_id.is_(None)
    # Four statements that read an index, in place of one that reads all ranges
    for is_wanted in (of_jobs, of_none):
        for conditions in ([TODO], [RUNNING, expired]):
            scan = select(ScanRange.job_id, ScanRange.model_version_id)
            row = session.execute(scan.where(is_wanted, *conditions).limit(1)).one_or_none()
            if row is not None:
                return Scan(*row)
    return None


def claim(session: Session, scan: Scan, worker: str, lease_s: float) -> ClaimedRange | None:
    """
    Claim a range: one whose holder died, which counts as a failure, else the next one.

    These are two statements, because one that orders by both does not read an index. A range that
    has failed comes after the others.
    """
    is_postgres = session.get_bind().dialect.name == "postgresql"
    values: dict[str, object] = {"version_id": scan.version_id, "claimed_by": worker}
    if scan.job_id is not None:
        values["of_job_id"] = scan.job_id
    if is_postgres:
        values["lease"] = timedelta(seconds=lease_s)
    for is_expired in (True, False):
        if not is_postgres:
            moment = now_of(session)
            values["new_lease_until"] = moment + timedelta(seconds=lease_s)
            if is_expired:
                values["moment"] = moment
            else:
                values.pop("moment")
        statement = _claim_statement(is_postgres, scan.job_id is not None, is_expired)
        row = session.connection().execute(statement, values).one_or_none()
        if row is not None:
            ids = IdRange(row.split, row.after_id, row.until_id)
            return ClaimedRange(row.id, row.attempt, row.num_failures, ids, is_expired)
    return None


@cache
def _claim_statement(is_postgres: bool, has_job: bool, is_expired: bool) -> ClaimStatement:
    """Return the statement; building it takes longer than the database needs to run it."""
    if is_postgres:
        moment: ColumnElement[datetime] = func.statement_timestamp(type_=DateTime(timezone=True))
        lease_until: ColumnElement[Any] = moment + bindparam("lease", type_=Interval)
    else:
        moment = bindparam("moment", type_=UtcDateTime)
        lease_until = bindparam("new_lease_until", type_=UtcDateTime)
    conditions = [RUNNING, ScanRange.lease_until < moment] if is_expired else [TODO]
    job_id = ScanRange.job_id
    chosen = (
        select(ScanRange.id)
        .where(
            job_id == bindparam("of_job_id", type_=Id) if has_job else job_id.is_(None),
            ScanRange.model_version_id == bindparam("version_id", type_=Id),
            *conditions,
        )
        # All columns of the index: Postgres would sort all ranges that have no job.
        .order_by(
            job_id,
            ScanRange.model_version_id,
            ScanRange.lease_until if is_expired else ScanRange.num_failures,
            *([] if is_expired else [ScanRange.id]),
        )
        .limit(literal_column("1"))
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    return (
        update(ScanRange)
        .where(ScanRange.id == chosen, *conditions)
        .values(
            status="running",
            attempt=ScanRange.attempt + 1,
            num_failures=ScanRange.num_failures + (1 if is_expired else 0),
            worker=bindparam("claimed_by"),
            lease_until=lease_until,
        )
        .returning(
            ScanRange.id,
            ScanRange.attempt,
            ScanRange.num_failures,
            ScanRange.split,
            ScanRange.after_id,
            ScanRange.until_id,
        )
    )


def renew(session: Session, held: Mapping[int, int], lease_s: float) -> set[int]:
    """
    Renew the leases of ranges, given by id and attempt.

    Returns the ids of those that are still held.
    """
    return set(
        session.scalars(
            update(ScanRange)
            .where(_held(held))
            .values(lease_until=_lease_end(session, lease_s))
            .returning(ScanRange.id)
            .execution_options(synchronize_session=False)
        )
    )


def still_held(session: Session, held: Mapping[int, int]) -> set[int]:
    """Return the ids of ranges, given by id and attempt, that are still held."""
    return set(session.scalars(select(ScanRange.id).where(_held(held))))


def finish(session: Session, version_id: int, claimed: ClaimedRange) -> bool:
    """
    End a range as done, if its holder still holds it and no image of it is without a row.

    Returns whether both are true.
    """
    unscored = exists().where(*_unscored(version_id, claimed.ids))
    return _end(session, claimed, {"status": "done"}, ~unscored)


def give_back(session: Session, claimed: ClaimedRange) -> bool:
    """Let others claim a range; returns False if its holder has lost it."""
    return _end(session, claimed, {"status": "todo"})


def count_failure(session: Session, claimed: ClaimedRange) -> bool:
    """Give a range back with one more failure, or end it as failed; False if it is lost."""
    num_failures = ScanRange.num_failures + 1
    status = case((num_failures >= MAX_FAILURES, "failed"), else_="todo")
    return _end(session, claimed, {"status": status, "num_failures": num_failures})


def fail(session: Session, claimed: ClaimedRange) -> bool:
    """End a range as failed; returns False if its holder has lost it."""
    return _end(session, claimed, {"status": "failed"})


def _end(
    session: Session,
    claimed: ClaimedRange,
    values: Mapping[str, object],
    *conditions: ColumnElement[bool],
) -> bool:
    ended = session.scalars(
        update(ScanRange)
        .where(_held({claimed.id: claimed.attempt}), *conditions)
        .values(lease_until=None, **values)
        .returning(ScanRange.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return ended is not None


def has_unfinished(session: Session, scan: Scan) -> bool:
    """Return whether any range of a scan waits or is being scored."""
    waits, runs = (exists().where(*_of(scan), status) for status in (TODO, RUNNING))
    return session.scalars(select(waits | runs)).one()


def failed_ranges(session: Session, scan: Scan) -> list[IdRange]:
    """Return the ranges of a scan that have failed, in order of id."""
    rows = session.execute(
        select(ScanRange.split, ScanRange.after_id, ScanRange.until_id)
        .where(*_of(scan), ScanRange.status == "failed")
        .order_by(ScanRange.id)
    )
    return [IdRange(*row) for row in rows]


def reopen_failed(session: Session, scan: Scan) -> None:
    """Let the ranges of a scan that have failed be claimed again."""
    session.execute(
        update(ScanRange)
        .where(*_of(scan), ScanRange.status == "failed")
        .values(status="todo", num_failures=0)
        .execution_options(synchronize_session=False)
    )


def delete_ranges(session: Session, scan: Scan) -> None:
    session.execute(delete(ScanRange).where(*_of(scan)))


def delete_other_sweeps(session: Session, version_id: int) -> None:
    """Delete the ranges without a job of all versions but one."""
    session.execute(
        delete(ScanRange).where(
            ScanRange.job_id.is_(None), ScanRange.model_version_id != version_id
        )
    )


def _of(scan: Scan) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    job = ScanRange.job_id.is_(None) if scan.job_id is None else ScanRange.job_id == scan.job_id
    return job, ScanRange.model_version_id == scan.version_id


def _held(held: Mapping[int, int]) -> ColumnElement[bool]:
    return tuple_(ScanRange.id, ScanRange.attempt).in_(list(held.items())) & RUNNING


def _unscored(version_id: int, ids: IdRange) -> list[ColumnElement[bool]]:
    is_scored = exists().where(
        ImageScore.image_id == Image.id, ImageScore.model_version_id == version_id
    )
    return [
        Image.split == ids.split,
        Image.id > ids.after_id,
        Image.id <= ids.until_id,
        ~is_scored,
    ]


def _moment(session: Session) -> ColumnElement[datetime] | datetime:
    """Return the database's time, on Postgres as an expression that an index can be read with."""
    if session.get_bind().dialect.name == "postgresql":
        return func.statement_timestamp(type_=DateTime(timezone=True))
    return now_of(session)


def _lease_end(session: Session, lease_s: float) -> ColumnElement[datetime] | datetime:
    lease = timedelta(seconds=lease_s)
    moment = _moment(session)
    if isinstance(moment, datetime):
        return moment + lease
    return type_coerce(moment + literal(lease, Interval), DateTime(timezone=True))
