"""The objects that all stages of a training run share."""

from dataclasses import dataclass

from hardneg.schemas.training_runs import RetrainRequest
from service.jobs.running import RunningJob
from service.scoring.resources import Resources


@dataclass(frozen=True, slots=True)
class Retraining:
    """
    One attempt at a job that trains a version, or that judges one which was trained elsewhere.

    Attributes:
        job: the lease, the progress and the history.
        request: the parameters of the job, or of the list that was frozen.
        resources: a scorer for this job alone, and sessions that commit only while the attempt
            holds the lease.
    """

    job: RunningJob
    request: RetrainRequest
    resources: Resources
