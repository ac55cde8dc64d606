"""An estimate of how long a round takes, from the last retraining."""

from collections.abc import Sequence

from sqlalchemy import null, select
from sqlalchemy.orm import Session

from hardneg.schemas.jobs import JobStatus
from service.tables import Job, ModelVersion, TrainingRun
from service.training_runs import store
from service.training_runs.job import RETRAIN


def estimate_round(session: Session, architecture: str, num_images: int) -> float | None:
    """
    Return the seconds of a round that trains on `num_images`, an image counted at each use.

    The training is as fast for each image as in the last job that trained this architecture
    without a break, and scoring and measuring take as long as there. None if there is no such job.
    """
    job = _last_job(session, architecture)
    if job is None or job.started_at is None or job.finished_at is None:
        return None
    runs = store.runs_of_job(session, job.id)
    trained_s = sum(_durations(runs))
    num_trained = sum(_num_images(run) for run in runs)
    rest_s = max(0.0, (job.finished_at - job.started_at).total_seconds() - trained_s)
    return num_images * trained_s / num_trained + rest_s / len(runs)


def _last_job(session: Session, architecture: str) -> Job | None:
    return session.scalars(
        select(Job)
        .join(TrainingRun, TrainingRun.job_id == Job.id)
        .join(ModelVersion, ModelVersion.id == TrainingRun.model_version_id)
        .where(
            Job.kind == RETRAIN.name,
            Job.status == JobStatus.DONE,
            Job.attempt == 1,
            TrainingRun.recipes.is_(null()),  # whose history is that of one training of three
            ModelVersion.architecture == architecture,
        )
        .order_by(Job.id.desc())
        .limit(1)
    ).first()


def _durations(runs: Sequence[TrainingRun]) -> list[float]:
    return [float(str(epoch["duration_s"])) for run in runs for epoch in run.history]


def _num_images(run: TrainingRun) -> int:
    """Return how many images a run's steps used; every finished run has an epoch."""
    return int(str(run.history[-1]["step"])) * int(str(run.params["batch_size"]))
