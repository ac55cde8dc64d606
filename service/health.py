"""Whether the process lives, and whether it can score."""

from http import HTTPStatus
from typing import Literal

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from service.errors import ServiceError, problem_responses
from service.scoring.resources import ResourcesDep
from service.serving.errors import NoServingVersion
from service.serving.service import loaded_version

log = structlog.get_logger()

router = APIRouter(tags=["operation"])


class DatabaseAway(ServiceError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "database-away"
    title = "The database does not answer"

    def __init__(self) -> None:
        super().__init__("the database does not answer; the service's log has the reason")


class NotReady(ServiceError):
    """No version has been activated, so that no load balancer should send requests here."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = NoServingVersion.slug
    title = NoServingVersion.title


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
def ready(resources: ResourcesDep) -> Ready:
    """The database answers and a model version is loaded; else 503 with the reason."""
    try:
        with resources.read_sessions.begin() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        log.error("the database does not answer", exc_info=error)
        raise DatabaseAway from error
    try:
        version = loaded_version(resources)
    except NoServingVersion as error:
        raise NotReady(error.detail) from error
    return Ready(model_version=version.name)
