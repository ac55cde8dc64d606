"""Kinds of jobs: each names its lane and the function that does the work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.jobs.running import RunningJob

JobResult = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class JobKind:
    """
    One kind of job.

    Attributes:
        name: the job's `kind`.
        lane: at most one job of a lane runs at a time, over all workers; lanes run in parallel.
        run: does the work and returns the result, as JSON values. It runs again from the start
            after a worker has died, so it saves by upserts within `RunningJob.transaction`. It
            imports torch and other slow modules itself: a worker loads them with its first job.
        max_failures: this many failed attempts fail the job.
    """

    name: str
    lane: str
    run: Callable[[RunningJob], JobResult]
    max_failures: int = 3
