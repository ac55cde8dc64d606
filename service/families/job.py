"""The kind of job that groups images into families of look-alikes."""

from service.jobs.kind import JobKind, JobResult
from service.jobs.running import RunningJob


def _run(job: RunningJob) -> JobResult:
    from service.families.run import run_grouping

    return run_grouping(job)


GROUP = JobKind("group", "group", _run)
