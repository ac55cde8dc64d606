"""Puts the service together, without logic beyond that."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from threading import Event

from fastapi import Depends, FastAPI
from prometheus_fastapi_instrumentator import Instrumentator

from models.data.images import close_decode_processes
from models.inference.device import select_device
from service import api_docs, health, migrate
from service.audit import endpoints as audit
from service.auth import endpoints as keys
from service.auth import session_endpoints as sessions
from service.auth.guard import KeyGuard, describe_key
from service.auth.ring import KeyRing
from service.compression import compress_lists, compressed_files
from service.dashboard import endpoints as dashboard
from service.dashboard.assets import STATIC_PATH as DASHBOARD_STATIC_PATH
from service.dashboard.assets import Assets
from service.effects import endpoints as effects
from service.errors import add_error_handlers, problem_responses
from service.families import endpoints as families
from service.hard_negatives import endpoints as hard_negatives
from service.hard_negatives.ready_thumbnails import ReadyThumbnails
from service.holding import endpoints as holding
from service.images import endpoints as images
from service.imports import endpoints as imports
from service.jobs import endpoints as jobs
from service.jobs.feed import EventFeed
from service.jobs.gauges import QueueGauges
from service.labelled_images import endpoints as labelled_images
from service.logs import RequestLog
from service.look_alikes import endpoints as look_alikes
from service.metrics import Metrics
from service.model_versions import endpoints as model_versions
from service.origins import OriginGuard
from service.roles import RouteRoles
from service.scans import endpoints as scans
from service.scoring.resources import open_resources
from service.serving.backlog import Backlog
from service.settings import Settings
from service.sources import endpoints as sources
from service.stats import endpoints as stats
from service.traces import request_traces
from service.training_runs import endpoints as training_runs
from service.upkeep.thread import Upkeep
from service.verdicts import endpoints as verdicts
from service.version_uploads import endpoints as version_uploads
from service.webhooks.sender import WebhookSender

# Open to all without a key, with everything below them.
OPEN_PATHS = ("/openapi.json", api_docs.STATIC_PATH, DASHBOARD_STATIC_PATH)
DESCRIPTION = """
Mines hard negatives for object detectors: post images that hold no object, and ask which of them
the detector is most surely wrong about.
"""


def create_app(settings: Settings, stopping: Event | None = None) -> FastAPI:
    """
    Build the service over one database, one blob store and one detector.

    Streams of events end when `stopping` is set.
    """
    metrics = Metrics()
    stopping = stopping or Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        select_device(settings.device)  # a device that is not there stops the start
        with open_resources(settings, metrics, stopping) as resources:
            migrate.upgrade(resources.engine)
            backlog = Backlog(resources)
            app.state.resources, app.state.backlog = resources, backlog
            app.state.key_ring = key_ring = KeyRing(resources.read_sessions, settings)
            app.state.event_feed = EventFeed(resources.read_sessions, stopping)
            backlog.start()
            upkeep = Upkeep(resources)
            upkeep.start()
            gauges = QueueGauges(resources.read_sessions, metrics.registry)
            gauges.start()
            webhooks = WebhookSender(resources)
            webhooks.start()
            thumbnails = ReadyThumbnails(resources)
            thumbnails.start()
            yield
            await key_ring.close()
            webhooks.close()
            gauges.close()
            upkeep.close()
            thumbnails.close()
            close_decode_processes()  # no stop waits for a hostile image
            backlog.close()

    app = FastAPI(
        title="hardneg",
        description=DESCRIPTION,
        version=_version(),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        telemetry=request_traces(),
        form_limits={"max_files": settings.max_files},
        responses=problem_responses(
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.MISDIRECTED_REQUEST,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
            HTTPStatus.INSUFFICIENT_STORAGE,
        ),
    )
    # Not on the app: there the limit would answer outside the middleware that makes it a problem.
    app.router.max_body_size = settings.max_body_bytes
    add_error_handlers(app)
    app.include_router(health.router)
    app.include_router(health.add_metrics(metrics.registry))
    app.include_router(api_docs.router)
    app.mount(api_docs.STATIC_PATH, api_docs.static_files())
    for router in (
        images.router,
        sources.router,
        hard_negatives.router,
        holding.router,
        families.router,
        effects.router,
        look_alikes.router,
        verdicts.router,
        version_uploads.add_route(settings.max_checkpoint_bytes),
        model_versions.router,
        labelled_images.router,
        imports.add_route(settings.max_import_bytes),
        training_runs.router,
        scans.router,
        stats.router,
        jobs.router,
        keys.router,
        sessions.router,
        audit.router,
    ):
        app.include_router(router, dependencies=[Depends(describe_key)])
    if settings.oidc_issuer:
        from service.auth import oidc_endpoints  # needs the extra [oidc]

        app.include_router(oidc_endpoints.add_routes(settings))
    app.mount(DASHBOARD_STATIC_PATH, compressed_files(Assets()))
    app.include_router(dashboard.router)
    # The last middleware added sees a request first.
    compress_lists(app)
    app.add_middleware(KeyGuard, settings=settings, roles=RouteRoles(app.routes, OPEN_PATHS))
    _count_requests(app, metrics)
    app.add_middleware(OriginGuard, hosts=settings.known_hosts)
    app.add_middleware(RequestLog)
    return app


def _count_requests(app: FastAPI, metrics: Metrics) -> None:
    excluded = ["/metrics", "/healthz", api_docs.STATIC_PATH, DASHBOARD_STATIC_PATH]
    Instrumentator(registry=metrics.registry, excluded_handlers=excluded).instrument(app)


def _version() -> str:
    try:
        return version("hardneg")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
