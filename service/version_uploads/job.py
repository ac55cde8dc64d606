"""The kind of job that measures a version which was trained elsewhere."""

from pydantic import BaseModel

from service.jobs.kind import JobKind, JobResult
from service.jobs.running import RunningJob


class MeasureParams(BaseModel):
    """
    Parameters of a measure job.

    Attributes:
        model_version_id: the version to measure.
        run_id: the training run that it came from; None only measures it, and decides nothing.
    """

    model_version_id: int
    run_id: int | None


def _run(job: RunningJob) -> JobResult:
    from service.version_uploads.run import run_measure

    return run_measure(job)


MEASURE = JobKind("measure", "measuring", _run)  # not behind a training, which may take hours
