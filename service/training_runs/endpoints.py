"""Retraining and its runs over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from hardneg.schemas.exports import ExportContent, ExportedImages, ExportFormat
from hardneg.schemas.jobs import JobOut
from hardneg.schemas.text import PlainText
from hardneg.schemas.training_runs import (
    FreezeRequest,
    MinedPage,
    RetrainPreview,
    RetrainRequest,
    TrainingImagePage,
    TrainingRunOut,
    TrainingRunPage,
)
from service.errors import problem_responses
from service.exports.export import ExportOptions
from service.exports.response import ZIP_ANSWER, service_url, zip_response
from service.roles import requires
from service.scoring.resources import ReadSessionDep, ResourcesDep, SessionDep
from service.training_runs import export, mined, previewing, service

router = APIRouter(tags=["training"])

MAX_ID = 2**63 - 1
RunId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[3])]
UNKNOWN_RUN = problem_responses(HTTPStatus.NOT_FOUND)


@router.post(
    "/retrain",
    status_code=HTTPStatus.ACCEPTED,
    responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
@requires("train")
def retrain(
    session: SessionDep,
    resources: ResourcesDep,
    response: Response,
    request: RetrainRequest | None = None,
) -> JobOut:
    """
    Retrain with the pool's worst images. Every field has a default that works.

    The job mines negatives, trains, scores the pool with the new version, measures it on val and
    negative-test, and promotes it or gives the reason why not. It repeats this for up to
    `iterations` rounds.
    """
    job = service.queue_retraining(session, resources.settings, request or RetrainRequest())
    response.headers["Location"] = job.links.self
    return job


@router.post(
    "/retrain/preview",
    responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
@requires("read")
def preview_retraining(
    session: ReadSessionDep,
    resources: ResourcesDep,
    request: RetrainRequest | None = None,
    num_shown: Annotated[
        int, Query(ge=0, le=200, description="How many of the new negatives to show.")
    ] = 12,
) -> RetrainPreview:
    """
    Say what a retrain request would train on, for how many steps, and about how long.

    Nothing is changed. A request that `POST /retrain` would refuse is refused here, too.
    """
    return previewing.preview_retraining(
        session, resources.settings, request or RetrainRequest(), num_shown
    )


@router.post(
    "/training-runs",
    status_code=HTTPStatus.CREATED,
    responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
@requires("train")
def freeze_training_list(
    session: SessionDep, response: Response, request: FreezeRequest | None = None
) -> TrainingRunOut:
    """
    Freeze a list of images to train on elsewhere. Every field has a default.

    The list is chosen as for a retraining: all labelled images, the negatives that the parent
    version was trained on, and new ones from the pool. Train on them with any trainer, and add the
    result with `POST /model-versions` and `training_run_id`.
    """
    run = service.freeze(session, request or FreezeRequest())
    response.headers["Location"] = f"/training-runs/{run.id}"
    return run


@router.get("/training-runs", responses=UNKNOWN_RUN)
@requires("read")
def list_training_runs(
    session: ReadSessionDep,
    job_id: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="Only the runs of this job.")
    ] = None,
    model_version: Annotated[
        PlainText | None,
        Query(
            min_length=1, description="Only the runs that this version came from: its id or name."
        ),
    ] = None,
    before_id: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="Only ids below this.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> TrainingRunPage:
    """List training runs, newest first."""
    return service.list_runs(
        session, job_id=job_id, model_version=model_version, before_id=before_id, limit=limit
    )


@router.get("/training-runs/{run_id}", responses=UNKNOWN_RUN)
@requires("read")
def show_training_run(session: ReadSessionDep, run_id: RunId) -> TrainingRunOut:
    """Show one training run: its parent version, its epochs, and the decision on its version."""
    return service.show_run(session, run_id)


@router.get("/training-runs/{run_id}/images", responses=UNKNOWN_RUN)
@requires("read")
def list_training_run_images(
    session: ReadSessionDep,
    run_id: RunId,
    after_id: Annotated[int, Query(ge=0, le=MAX_ID, description="Only image ids above this.")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> TrainingImagePage:
    """List the images that a run trained on, as they were frozen before its training."""
    return service.list_run_images(session, run_id, after_id=after_id, limit=limit)


@router.get("/training-runs/{run_id}/mined", responses=UNKNOWN_RUN)
@requires("read")
def list_mined_images(
    session: ReadSessionDep,
    run_id: RunId,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> MinedPage:
    """List a run's new negatives with their scores before and after its training."""
    return mined.list_mined(session, run_id, offset=offset, limit=limit)


@router.get(
    "/training-runs/{run_id}/export",
    response_class=Response,
    responses={**ZIP_ANSWER, **UNKNOWN_RUN},
)
@requires("train")
def export_training_run(
    session: ReadSessionDep,
    resources: ResourcesDep,
    request: Request,
    run_id: RunId,
    file_format: Annotated[
        ExportFormat, Query(alias="format", description="How the labels are written.")
    ],
    content: Annotated[
        ExportContent,
        Query(description="`delta`: the run's new negatives alone; `all`: its whole list."),
    ] = ExportContent.ALL,
    images: Annotated[
        ExportedImages,
        Query(description="Whether the zip holds the images, or links to them."),
    ] = ExportedImages.INSIDE,
) -> Response:
    """
    Download the images that a run trains on, in a zip that other trainers read.

    Labelled images come with their boxes of today, negatives without objects. Images that were
    deleted since, or judged to contain an object, are left out.
    """
    options = ExportOptions(file_format, images, service_url(request))
    return zip_response(export.export_run(session, resources.blobs, options, run_id, content))
