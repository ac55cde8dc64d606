"""Health, readiness and metrics of the process."""

from http import HTTPStatus
from typing import Literal

import structlog
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from service.errors import DatabaseAway, ServiceError, problem_responses
from service.roles import open_to_all
from service.scoring.resources import ResourcesDep
from service.serving.errors import NoServingVersion
from service.serving.service import loaded_version

log = structlog.get_logger()

router = APIRouter(tags=["operation"])


class NotReady(ServiceError):
    """No version has been activated, so that no load balancer should send requests here."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = NoServingVersion.slug
    title = NoServingVersion.title


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """The service can score."""

    status: Literal["ready"] = "ready"
    model_version: str = Field(examples=["v1"])
    storage: Literal["writable", "storage-full"] = Field(
        "writable", description="Uploads are refused with 507 while the disk is full."
    )


@router.get("/healthz")
@open_to_all
async def alive() -> Alive:
    """Answer as long as the process lives, however many requests wait for a thread."""
    return Alive()


@router.get("/readyz", responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE))
@open_to_all
def ready(resources: ResourcesDep) -> Ready:
    """Answer if the database does and a model version is loaded; else 503 with the reason."""
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
    storage = "storage-full" if resources.blobs.is_full() else "writable"
    return Ready(model_version=version.name, storage=storage)


def add_metrics(registry: CollectorRegistry) -> APIRouter:
    """Return the route that shows what `registry` has collected."""
    metrics_router = APIRouter(tags=["operation"])

    @metrics_router.get("/metrics", response_class=PlainTextResponse)
    @open_to_all
    async def metrics() -> Response:
        """Show the metrics in Prometheus's text format, without waiting for a thread."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return metrics_router
