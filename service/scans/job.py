"""The kind of job that scores all stored images with a version."""

from pydantic import BaseModel

from service.jobs.kind import JobKind, JobResult
from service.jobs.running import RunningJob


class ScanParams(BaseModel):
    """Parameters of a scan job."""

    model_version_id: int


def _run(job: RunningJob) -> JobResult:
    from service.scans.run import run_scan

    return run_scan(job)


SCAN = JobKind("scan", "scan", _run)
