"""The page that starts a training, shows it while it runs, and says what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from hardneg.schemas.jobs import JobOut, JobStatus
from hardneg.schemas.stats import Iteration
from hardneg.schemas.training_runs import RetrainRequest, TrainingRunOut
from models.detectors import ARCHITECTURES, check_weights
from models.detectors.formats import is_trainable
from models.sampling import SamplerName
from service.dashboard.page import Page
from service.jobs import service as job_service
from service.jobs import store as job_store
from service.model_versions import store as version_store
from service.scoring import store as score_store
from service.serving import store as serving_store
from service.stats import service as stats_service
from service.training_runs import service as run_service
from service.training_runs.job import RETRAIN

PAGE = Page(template="retrain.html", path="/dashboard/retrain", title="Retrain", key="t")

SHOWN_JOBS = 8
MAX_VERSIONS = 1000
FIRST_CHOICE = "ssd_efficientnet_lite0"  # of the architectures: the one that trains well on a CPU
WEIGHTS = ("imagenet", "COCO_V1")


@dataclass(frozen=True, slots=True)
class ShownRound:
    """One training run with its version, and the version that it started from."""

    run: TrainingRunOut
    version: Iteration | None
    parent: Iteration | None


@dataclass(frozen=True, slots=True)
class ShownJob:
    """A training, or the measuring of one from elsewhere, with its rounds."""

    job: JobOut
    rounds: list[ShownRound]


def show(session: Session, job_id: int | None) -> dict[str, object]:
    """Return what the page shows; without an id of a job, the one that runs or waits."""
    versions = stats_service.list_iterations(session, 0, MAX_VERSIONS).items
    serving = serving_store.serving_version(session)
    jobs = job_service.list_jobs(
        session, kind=RETRAIN.name, status=None, before_id=None, limit=SHOWN_JOBS
    ).items
    job = job_store.find_job(session, job_id) if job_id is not None else None
    shown = job_service.job_out(session, job) if job is not None else _open_job(jobs)
    return {
        "serving": serving,
        "is_serving_trainable": serving is not None and is_trainable(serving.checkpoint_key),
        "parents": _parents(session),
        "architectures": _architectures(),
        "samplers": [name.value for name in SamplerName],
        "defaults": RetrainRequest(),
        "num_labelled": score_store.count_images(session, "train"),
        "num_pool": score_store.count_images(session, "pool"),
        "shown": _shown_job(session, shown, versions) if shown else None,
        "unknown_job": job_id if job_id is not None and job is None else None,
        "earlier": [
            _shown_job(session, each, versions)
            for each in jobs
            if shown is None or each.id != shown.id
        ],
    }


def _open_job(jobs: Sequence[JobOut]) -> JobOut | None:
    """Return the job that runs, else the one that waits for longest."""
    waiting = [job for job in reversed(jobs) if not job.status.is_final]
    running = [job for job in waiting if job.status is JobStatus.RUNNING]
    return next(iter([*running, *waiting]), None)


def _shown_job(session: Session, job: JobOut, versions: Sequence[Iteration]) -> ShownJob:
    by_id = {version.model_version_id: version for version in versions}
    runs = run_service.list_runs(
        session, job_id=job.id, model_version=None, before_id=None, limit=100
    ).items
    rounds = [
        ShownRound(run, by_id.get(run.model_version_id or 0), by_id.get(run.parent_version_id or 0))
        for run in reversed(runs)
    ]
    return ShownJob(job, rounds)


def _parents(session: Session) -> list[str]:
    """Return the names of the versions that can be trained here, newest first."""
    return [
        version.name
        for version in version_store.list_versions(session)
        if is_trainable(version.checkpoint_key)
    ]


def _architectures() -> dict[str, list[str]]:
    """Return the weights of each architecture, the first choice first."""
    names = sorted(ARCHITECTURES, key=lambda name: name != FIRST_CHOICE)
    return {name: [weights for weights in WEIGHTS if _has_weights(name, weights)] for name in names}


def _has_weights(architecture: str, weights: str) -> bool:
    try:
        check_weights(architecture, weights)
    except ValueError:
        return False
    return True
