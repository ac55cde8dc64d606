"""The audit: who changed what, and when."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


class AuditEventOut(BaseModel):
    """One change."""

    id: int
    at: datetime
    actor: str = Field(
        description="Name of the key; `anyone` without keys, `command line`, or `service`.",
        examples=["ci"],
    )
    key_id: int | None
    request_id: str | None = Field(description="`X-Request-ID` of the answer, as in the log.")
    action: str = Field(examples=["judge-image"])
    subject: str = Field(examples=["image 42"])
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditPage(BaseModel):
    """A page of changes, newest first."""

    items: list[AuditEventOut]
    next_before_id: int | None = Field(description="`before_id` of the next page.")
