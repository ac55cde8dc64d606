"""The kind of job that imports images."""

from service.jobs.kind import JobKind, JobResult
from service.jobs.running import RunningJob


def _run(job: RunningJob) -> JobResult:
    from service.imports.run import run_import

    return run_import(job)


IMPORT = JobKind("import", "import", _run)
