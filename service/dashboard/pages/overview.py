"""The first page: what serves, whether it gets better, and what to do next."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from hardneg.schemas.jobs import JobOut, JobStatus
from hardneg.schemas.stats import FalseDetectionFigures, Figures, Iteration
from service.dashboard.page import Page
from service.images import store as image_store
from service.jobs import service as jobs_service
from service.scoring import store as score_store
from service.scoring.store import ScoredCounts
from service.serving import store as serving_store
from service.stats import service as stats_service

PAGE = Page(template="overview.html", path="/", title="Overview", key="o")

SHOWN_THRESHOLD = 0.5
MAX_VERSIONS = 1000
SHOWN_JOBS = 5


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of images in each split, and of those in the pool that are judged."""

    pool: int
    sealed: int
    labelled: int
    judged: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of a version at the threshold that the page shows."""

    version: Iteration
    figures: Figures
    false_detections: FalseDetectionFigures | None


def show(session: Session) -> dict[str, object]:
    """Return what the page shows; `serving` is None on a fresh install."""
    serving = serving_store.serving_version(session)
    versions = stats_service.list_iterations(session, 0, MAX_VERSIONS).items
    rows = {row.model_version_id: row for row in versions}
    before = serving_store.version_before(session, serving.id) if serving else None
    coverage = score_store.scored_counts(session, serving.id, "pool") if serving else None
    return {
        "serving": serving,
        "coverage": coverage,
        "threshold": SHOWN_THRESHOLD,
        "now": _measured(rows.get(serving.id)) if serving else None,
        "before": _measured(rows.get(before)) if before else None,
        "num_measured": sum(row.figures is not None for row in versions),
        "counts": _counts(session),
        "jobs": _open_jobs(session),
        "is_scoring": coverage is not None and coverage.scored < coverage.images,
        "percent": _percent(coverage),
    }


def _counts(session: Session) -> Counts:
    return Counts(
        pool=score_store.count_images(session, "pool"),
        sealed=score_store.count_images(session, "negative-test"),
        labelled=score_store.count_images(session, "train", "val"),
        judged=image_store.count_judged(session, "pool"),
    )


def _open_jobs(session: Session) -> list[JobOut]:
    """Return the jobs that run, then those that wait."""
    return [
        job
        for status in (JobStatus.RUNNING, JobStatus.TODO)
        for job in jobs_service.list_jobs(
            session, kind=None, status=status, before_id=None, limit=SHOWN_JOBS
        ).items
    ]


def _measured(row: Iteration | None) -> Measured | None:
    if row is None or row.figures is None:
        return None
    return Measured(row, row.figures, row.figures.at(SHOWN_THRESHOLD))


def _percent(coverage: ScoredCounts | None) -> int:
    """Return the scored share of the pool, rounded down: 100 only when all is scored."""
    return 100 * coverage.scored // coverage.images if coverage and coverage.images else 0
