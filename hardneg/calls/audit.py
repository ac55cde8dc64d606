"""The audit of changes."""

from collections.abc import Iterator
from datetime import datetime

from hardneg.schemas.audit import AuditEventOut, AuditPage
from hardneg.transport import Connection, Query, iterate_pages, read_answer

PAGE_SIZE = 1000


class AuditCalls(Connection):
    """Calls of `/audit`, for keys with the role `admin`."""

    def audit(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> AuditPage:
        """
        Return one page of the changes, newest first.

        Args:
            actor: only changes by the key of this name.
            action: only changes of this kind, such as `judge-image`.
            subject: only changes of this, such as `image 42`.
            since: only from this moment on, with a time zone.
            until: only before this moment, with a time zone.
            before_id: only ids below this one; `next_before_id` of the page before.
            limit: size of the page, 1 to 1000.
        """
        query: Query = {
            "actor": actor,
            "action": action,
            "subject": subject,
            "since": None if since is None else since.isoformat(),
            "until": None if until is None else until.isoformat(),
            "before_id": before_id,
            "limit": limit,
        }
        return read_answer(AuditPage, self._get("/audit", query))

    def iter_audit(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[AuditEventOut]:
        """Yield all changes that the filters of `audit` let through, newest first."""

        def show(before_id: int | None) -> AuditPage:
            return self.audit(
                actor=actor,
                action=action,
                subject=subject,
                since=since,
                until=until,
                before_id=before_id,
                limit=PAGE_SIZE,
            )

        for page in iterate_pages(show, lambda page: page.next_before_id):
            yield from page.items
