"""Whether the process lives, and whether it can score."""

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import text

from service.db import ReadSessionDep
from service.errors import problem_responses
from service.images.errors import NoServingVersion
from service.scoring.scorer import ScorerDep

router = APIRouter(tags=["operation"])


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """The service can score."""

    status: Literal["ready"] = "ready"
    model_version: str = Field(examples=["v1"])


@router.get("/healthz")
def alive() -> Alive:
    """The process answers."""
    return Alive()


@router.get("/readyz", responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE))
def ready(session: ReadSessionDep, scorer: ScorerDep) -> Ready:
    """The database answers and a model version is loaded; else 503 with the reason."""
    session.execute(text("SELECT 1"))
    if scorer.serving is None:
        raise NoServingVersion(scorer.why_not_ready())
    return Ready(model_version=scorer.serving.name)
