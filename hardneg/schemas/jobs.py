"""What clients see of jobs."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field


class JobStatus(StrEnum):
    """How far a job is; the last three are final."""

    TODO = "todo"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobProgress(BaseModel):
    """How far the present attempt is in its present stage."""

    stage: str = Field(description="What the worker does now.", examples=["training"])
    done: int = Field(examples=[120])
    total: int | None = Field(description="Null where it is not known.", examples=[400])
    eta: datetime | None = Field(
        description="When the stage should end at its pace so far; null where unknown."
    )


class JobLinks(BaseModel):
    """Where a job's own pages are."""

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
    result: dict[str, object] | None = Field(description="What it came to, once done.")
    failure: str | None = Field(
        description="Why the job failed, or why its last attempt did.", examples=[None]
    )
    attempt: int = Field(description="How often a worker has taken it up.", examples=[1])
    num_failures: int = Field(description="Attempts that failed or died.", examples=[0])
    max_failures: int = Field(description="So many fail the job.", examples=[3])
    worker: str | None = Field(description="Who works on it.", examples=["host-1:4711"])
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
    """One job with the newest lines of its history."""

    events: list[JobEventOut]


class JobPage(BaseModel):
    """Jobs, newest first."""

    items: list[JobOut]
    next_before_id: int | None = Field(
        description="Ask again with `before_id` set to this; null on the last page."
    )
