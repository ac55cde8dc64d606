"""The table of versions, and the lists that wait for a training elsewhere."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from hardneg.schemas.exports import ExportFormat
from hardneg.schemas.stats import Iteration
from hardneg.schemas.training_runs import FreezeRequest, TrainingRunOut
from service.dashboard.page import Page
from service.serving import store as serving_store
from service.stats import service as stats_service
from service.training_runs import service as run_service

PAGE = Page(template="versions.html", path="/dashboard/versions", title="Versions", key="v")

MAX_VERSIONS = 1000
SHOWN_THRESHOLD = 0.5
SHOWN_LISTS = 20


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version in the table, with its parent version's name."""

    version: Iteration
    parent: str | None
    has_served: bool


def show(session: Session) -> dict[str, object]:
    versions = stats_service.list_iterations(session, 0, MAX_VERSIONS).items
    names = {version.model_version_id: version.model_version for version in versions}
    served = serving_store.versions_that_served(session)
    return {
        "rows": [
            VersionLine(
                version,
                parent=names.get(version.parent_version_id or 0),
                has_served=version.model_version_id in served,
            )
            for version in reversed(versions)
        ],
        "serving": next((version for version in versions if version.is_serving), None),
        "threshold": SHOWN_THRESHOLD,
        "lists": _open_lists(session, names),
        "formats": [file_format.value for file_format in ExportFormat],
        "defaults": FreezeRequest(),
    }


def _open_lists(session: Session, names: dict[int, str]) -> list[tuple[TrainingRunOut, str | None]]:
    """Return the lists without a result, each with its parent version's name."""
    runs = run_service.list_open_runs(session, SHOWN_LISTS)
    return [(run, names.get(run.parent_version_id or 0)) for run in runs]
