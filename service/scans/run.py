"""The scan job: score all stored images with a version."""

from service.jobs.kind import JobResult
from service.jobs.resources import job_resources
from service.jobs.running import RunningJob
from service.scans.job import ScanParams
from service.scans.scanning import scan_images
from service.scans.store import MAX_FAILURES
from service.scoring import store as score_store

NAMED_RANGES = 5  # of those that failed


class ScanIncomplete(Exception):
    """Some ranges of a scan failed again and again."""


def run_scan(job: RunningJob) -> JobResult:
    """
    Score all stored images that a version has not scored, from where an earlier attempt stopped.

    Raises ScanIncomplete.
    """
    version_id = ScanParams.model_validate(job.params).model_version_id
    with job.read_sessions.begin() as session:
        num_before = score_store.count_unscored(session, version_id)
    with job_resources(job, job.fenced) as resources:
        failed = scan_images(job, resources, version_id, "scoring images")
    if failed:
        named = ", ".join(str(ids) for ids in failed[:NAMED_RANGES])
        more = f" and {len(failed) - NAMED_RANGES} more ranges" * (len(failed) > NAMED_RANGES)
        raise ScanIncomplete(
            f"{named}{more} could not all be scored in {MAX_FAILURES} attempts; the log of the "
            "workers says why"
        )
    with job.read_sessions.begin() as session:
        num_left = score_store.count_unscored(session, version_id)
    return {"model_version_id": version_id, "num_scored": max(0, num_before - num_left)}
