"""The job that tests images for true objects."""

from hardneg.schemas.hold_test import HoldTestRequest
from service.holding import store
from service.holding.testing import HoldTester
from service.holding.texts import held_of, held_text, trust_text
from service.jobs.kind import JobResult
from service.jobs.resources import job_resources
from service.jobs.running import RunningJob


def run_hold_test(job: RunningJob) -> JobResult:
    """Test a version's hardest images of the pool, and the sealed ones."""
    request = HoldTestRequest.model_validate(job.params)
    assert request.model_version is not None  # resolved when the job was queued
    version_id = int(request.model_version)
    with job_resources(job, job.fenced) as resources:
        tester = HoldTester(job, resources, version_id, "testing for true objects")
        with resources.read_sessions.begin() as session:
            ranked = store.ranked_ids(session, version_id, request.num_images)
        pool, sealed = tester.decide(ranked), tester.decide_sealed()
        tester.save()
    trust = tester.rule.trust
    job.log(f"pool: {held_text(pool)}")
    job.log(f"sealed: {held_text(sealed)}")
    job.log(trust_text(is_trusted=trust.is_trusted, reason=trust.reason))
    return {
        "num_tested": len(pool),
        "num_held": len(held_of(pool)),
        "num_suspicious_sealed": len(held_of(sealed)),
        "is_trusted": trust.is_trusted,
        "reason": trust.reason,
    }
