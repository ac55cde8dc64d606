"""The kind of job that retrains."""

from service.jobs.kind import JobKind, JobResult
from service.jobs.running import RunningJob


def _run(job: RunningJob) -> JobResult:
    from service.training_runs.run import run_retrain

    return run_retrain(job)


RETRAIN = JobKind("retrain", "training", _run)
