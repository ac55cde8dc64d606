"""Events for other systems, written in the transaction of the change that they tell of."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.db import now_of
from service.tables import OutboxEvent

EventType = Literal["version-promoted", "version-refused", "job-failed", "pool-scored"]


def emit(
    session: Session,
    event_type: EventType,
    subject: str,
    data: Mapping[str, object],
    *,
    once_for: str | None = None,
) -> None:
    """
    Put an event into the outbox; it is sent after the commit, or never.

    Of the events with one text `once_for`, only the first is kept.
    """
    now = now_of(session)
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.execute(
        dialect.insert(OutboxEvent)
        .values(
            type=event_type,
            subject=subject,
            data=dict(data),
            once_for=once_for,
            created_at=now,
            next_try_at=now,
            delivered_to=[],
            num_failures=0,
        )
        .on_conflict_do_nothing(index_elements=["once_for"])
    )


def due_events(session: Session, limit: int) -> Sequence[OutboxEvent]:
    """Return events that are to be sent now, oldest first."""
    return session.scalars(
        select(OutboxEvent)
        .where(OutboxEvent.next_try_at <= now_of(session))
        .order_by(OutboxEvent.next_try_at, OutboxEvent.id)
        .limit(limit)
    ).all()


def delete_before(session: Session, moment: datetime) -> None:
    """Forget the events before a moment that were sent or given up."""
    session.execute(
        delete(OutboxEvent).where(
            OutboxEvent.created_at < moment, OutboxEvent.next_try_at.is_(None)
        )
    )


def save_try(
    session: Session, event_id: int, delivered_to: Sequence[str], pause: timedelta | None
) -> None:
    """Note who has received an event, and try again after a pause; None ends the tries."""
    event = session.get(OutboxEvent, event_id)
    if event is None:
        return
    event.delivered_to = list(delivered_to)
    event.next_try_at = None if pause is None else now_of(session) + pause
    event.num_failures += 0 if pause is None else 1
