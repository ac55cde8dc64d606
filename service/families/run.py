"""The job that groups images into families of look-alikes."""

from hardneg.schemas.families import GroupingRequest
from service.families.grouping import group_images
from service.families.texts import duplicates_text, grouped_text
from service.jobs.kind import JobResult
from service.jobs.resources import job_resources
from service.jobs.running import RunningJob


def run_grouping(job: RunningJob) -> JobResult:
    """Group a version's hardest images of the pool, and compare the sealed ones with them."""
    request = GroupingRequest.model_validate(job.params)
    assert request.model_version is not None  # resolved when the job was queued
    with job_resources(job, job.fenced) as resources:
        grouped = group_images(
            job,
            resources,
            int(request.model_version),
            num_images=request.num_images,
            num_mapped=request.num_mapped,
            stage="describing images",
        )
    sizes = grouped.sizes
    job.log(grouped_text(sizes))
    job.log(duplicates_text(grouped.num_duplicates))
    return {
        "num_grouped": sum(sizes),
        "num_mapped": grouped.num_mapped,
        "num_families": len(sizes),
        "num_sealed_compared": grouped.num_sealed,
        "num_duplicates": grouped.num_duplicates,
    }
