"""The SQL of the audit."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.identity import current_identity
from service.tables import AuditEvent


def record(
    session: Session,
    action: str,
    subject: str,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """
    Record a change in the transaction that makes it, on behalf of the current caller.

    Call it in the caller's own thread, not in a write of a group commit.
    """
    identity = current_identity()
    session.add(
        AuditEvent(
            actor=identity.name,
            key_id=identity.key_id,
            request_id=structlog.contextvars.get_contextvars().get("request_id"),
            action=action,
            subject=subject,
            before=None if before is None else dict(before),
            after=None if after is None else dict(after),
        )
    )


def list_events(
    session: Session,
    *,
    actor: str | None,
    action: str | None,
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
    before_id: int | None,
    limit: int,
) -> Sequence[AuditEvent]:
    """Return changes, newest first."""
    statement = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    for column, value in (
        (AuditEvent.actor, actor),
        (AuditEvent.action, action),
        (AuditEvent.subject, subject),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if since is not None:
        statement = statement.where(AuditEvent.at >= since)
    if until is not None:
        statement = statement.where(AuditEvent.at < until)
    if before_id is not None:
        statement = statement.where(AuditEvent.id < before_id)
    return session.scalars(statement).all()


def delete_before(session: Session, moment: datetime) -> None:
    """Forget the changes before a moment."""
    session.execute(delete(AuditEvent).where(AuditEvent.at < moment))
