"""Two versions side by side; the page's script reads the images and curves from the API."""

from sqlalchemy.orm import Session

from hardneg.schemas.stats import Iteration
from service.dashboard.page import Page
from service.dashboard.pages import versions
from service.scoring import store as score_store
from service.stats import service as stats_service

PAGE = Page(
    template="compare.html",
    path="/dashboard/compare",
    title="Compare versions",
    under=versions.PAGE.path,
)

MAX_VERSIONS = 1000


def show(session: Session, before: str | None, version: str | None) -> dict[str, object]:
    """
    Return the two versions, named by id or name, and all that there are.

    By default these are the serving version, or else the newest, and its parent version. Either is
    None if there is none, or none of that name.
    """
    rows = stats_service.list_iterations(session, 0, MAX_VERSIONS).items[::-1]
    serving = next((row for row in rows if row.is_serving), rows[0] if rows else None)
    now = _find(rows, version) if version else serving
    first = _find(rows, before) if before else _before(rows, now)
    compared = [row for row in (first, now) if row is not None]
    return {
        "versions": rows,
        "version": now,
        "before": first,
        "have_scored_sealed": all(
            score_store.count_scored(session, row.model_version_id, "negative-test")
            for row in compared
        ),
    }


def _find(rows: list[Iteration], key: str) -> Iteration | None:
    return next(
        (row for row in rows if key in (row.model_version, str(row.model_version_id))), None
    )


def _before(rows: list[Iteration], now: Iteration | None) -> Iteration | None:
    """Return the parent version, else the version added before, else any other."""
    if now is None:
        return None
    parent = [row for row in rows if row.model_version_id == now.parent_version_id]
    older = [row for row in rows if row.model_version_id < now.model_version_id]
    others = [row for row in rows if row.model_version_id != now.model_version_id]
    return next(iter([*parent, *older, *others]), None)
