"""The kind of job that tests images for true objects."""

from service.jobs.kind import JobKind, JobResult
from service.jobs.running import RunningJob


def _run(job: RunningJob) -> JobResult:
    from service.holding.run import run_hold_test

    return run_hold_test(job)


HOLD_TEST = JobKind("hold-test", "hold-test", _run)
