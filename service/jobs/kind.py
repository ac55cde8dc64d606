"""The kinds of work, and the function that does each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.jobs.running import RunningJob

JobResult = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class JobKind:
    """
    One kind of work.

    Attributes:
        name: `kind` of the job.
        lane: one job of a lane runs at a time, over all workers; lanes run beside each other.
        run: does the work and returns what it came to, as JSON values. It runs again from the
            start when a worker died, so what it saves is an upsert in `RunningJob.transaction`.
            It imports what it needs itself: a worker must not load torch before a job wants it.
        max_failures: so many failed attempts fail the job.
    """

    name: str
    lane: str
    run: "Callable[[RunningJob], JobResult]"
    max_failures: int = 3
