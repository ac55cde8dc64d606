"""The audit over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from hardneg.schemas.audit import AuditEventOut, AuditPage
from hardneg.schemas.text import PlainText
from service.audit import store
from service.roles import requires
from service.scoring.resources import ReadSessionDep

router = APIRouter(prefix="/audit", tags=["audit"])


@router.get("")
@requires("admin")
def list_audit_events(
    session: ReadSessionDep,
    actor: Annotated[PlainText | None, Query(description="Only changes by this key.")] = None,
    action: Annotated[
        PlainText | None, Query(description="Only changes of this kind, such as `judge-image`.")
    ] = None,
    subject: Annotated[
        PlainText | None, Query(description="Only changes of this, such as `image 42`.")
    ] = None,
    since: Annotated[AwareDatetime | None, Query(description="From this moment on.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Before this moment.")] = None,
    before_id: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="Only ids below this.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditPage:
    """List who changed what, newest first."""
    events = store.list_events(
        session,
        actor=actor,
        action=action,
        subject=subject,
        since=since,
        until=until,
        before_id=before_id,
        limit=limit + 1,
    )
    return AuditPage(
        items=[AuditEventOut.model_validate(row, from_attributes=True) for row in events[:limit]],
        next_before_id=events[limit - 1].id if len(events) > limit else None,
    )
