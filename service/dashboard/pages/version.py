"""One version: its figures, its line, its training, and its files."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from hardneg.schemas.exports import ExportFormat
from hardneg.schemas.stats import Iteration
from service.dashboard.page import Page
from service.dashboard.pages import versions
from service.model_versions import service as version_service
from service.model_versions.service import ModelVersionNotFound
from service.serving import store as serving_store
from service.stats import service as stats_service
from service.training_runs import service as run_service

PAGE = Page(
    template="version.html",
    path="/dashboard/versions/{version}",
    title="Version",
    under=versions.PAGE.path,
)

MAX_VERSIONS = 1000


def show(session: Session, key: str) -> dict[str, object] | None:
    """Return what the page shows; None if there is no such version."""
    try:
        detail = version_service.show_version(session, key)
    except ModelVersionNotFound:
        return None
    rows = {
        row.model_version_id: row
        for row in stats_service.list_iterations(session, 0, MAX_VERSIONS).items
    }
    line = _line(rows, detail.id)
    runs = run_service.list_runs(
        session, job_id=None, model_version=str(detail.id), before_id=None, limit=1
    ).items
    return {
        "version": detail,
        "row": rows[detail.id],
        "parent": line[-2] if len(line) > 1 else None,
        "line": line,
        "children": [row for row in rows.values() if row.parent_version_id == detail.id],
        "run": runs[0] if runs else None,
        "has_served": detail.id in serving_store.versions_that_served(session),
        "serving": next((row for row in rows.values() if row.is_serving), None),
        "formats": [file_format.value for file_format in ExportFormat],
    }


def _line(rows: Mapping[int, Iteration], version_id: int) -> list[Iteration]:
    """Return a version after its ancestors, oldest first."""
    line: list[Iteration] = []
    row = rows.get(version_id)
    while row is not None:
        line.append(row)
        row = rows.get(row.parent_version_id or 0)
    return line[::-1]
