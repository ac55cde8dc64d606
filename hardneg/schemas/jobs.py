"""Jobs as clients see them."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field


class JobStatus(StrEnum):
    """The status of a job; the last three are final."""

    TODO = "todo"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)


class JobProgress(BaseModel):
    """The progress of the current attempt within its current stage."""

    stage: str = Field(description="The work that is under way.", examples=["training"])
    done: int = Field(examples=[120])
    total: int | None = Field(description="Null where the total is unknown.", examples=[400])
    eta: datetime | None = Field(
        description="When the stage should end, at its pace so far; null where unknown."
    )


class JobLinks(BaseModel):
    """Addresses that belong to one job."""

    self: str = Field(examples=["/jobs/7"])
    events: str = Field(examples=["/jobs/7/events"])
    cancel: str = Field(examples=["/jobs/7/cancel"])


class JobOut(BaseModel):
    """One piece of long work."""

    id: int = Field(examples=[7])
    kind: str = Field(examples=["retrain"])
    status: JobStatus
    params: dict[str, object]
    progress: JobProgress
    result: dict[str, object] | None = Field(description="The result of a job that is done.")
    failure: str | None = Field(
        description="Why the job failed, or why its latest attempt failed.", examples=[None]
    )
    attempt: int = Field(
        description="Number of the current attempt; 0 before the first one.", examples=[1]
    )
    num_failures: int = Field(
        description="Attempts that failed, or whose worker died.", examples=[0]
    )
    max_failures: int = Field(
        description="The job fails after this many failed attempts.", examples=[3]
    )
    worker: str | None = Field(
        description="The worker of the current attempt.", examples=["host-1:4711"]
    )
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: JobLinks


class JobEventOut(BaseModel):
    """One line of a job's history."""

    id: int = Field(examples=[31])
    job_id: int = Field(examples=[7])
    attempt: int = Field(examples=[1])
    kind: Literal["state", "log"]
    message: str = Field(examples=["epoch 3 of 10"])
    data: dict[str, object] = Field(examples=[{"loss": 0.81}])
    created_at: datetime


class JobDetail(JobOut):
    """One job, with the newest lines of its history."""

    events: list[JobEventOut]


class JobPage(BaseModel):
    """One page of jobs, newest first."""

    items: list[JobOut]
    next_before_id: int | None = Field(
        description="Value of `before_id` for the next page; null on the last page."
    )
