"""Tests of images for true objects, over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response

from hardneg.schemas.hold_test import HeldPage, HoldTestReport, HoldTestRequest
from hardneg.schemas.images import Split
from hardneg.schemas.jobs import JobOut
from hardneg.schemas.text import PlainText
from service.errors import problem_responses
from service.holding import service
from service.roles import requires
from service.scoring.resources import ReadSessionDep, SessionDep

router = APIRouter(prefix="/hold-test", tags=["hard negatives"])


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
@requires("train")
def start_hold_test(
    session: SessionDep, response: Response, request: HoldTestRequest | None = None
) -> JobOut:
    """
    Test a version's hardest images, and the sealed ones, for true objects.

    The job compares what the version detects with the labelled objects. Its decisions are shown by
    `GET /hard-negatives`, and stand until the next test of that version; a retraining tests its
    parent version itself.
    """
    job = service.queue_hold_test(session, request or HoldTestRequest())
    response.headers["Location"] = job.links.self
    return job


@router.get("", responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
@requires("read")
def show_hold_test(
    session: ReadSessionDep,
    model_version: Annotated[
        PlainText | None, Query(min_length=1, description="Id or name; the serving one by default.")
    ] = None,
) -> HoldTestReport:
    """Show the last test of a version, and the sealed images that look like true objects."""
    return service.show_hold_test(session, model_version)


@router.get("/held", responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
@requires("read")
def list_held_images(
    session: ReadSessionDep,
    model_version: Annotated[
        PlainText | None, Query(min_length=1, description="Id or name; the serving one by default.")
    ] = None,
    split: Annotated[
        Split, Query(description="`pool`, or `negative-test` for suspicious sealed images.")
    ] = Split.POOL,
    num_nearest: Annotated[
        int, Query(ge=0, le=10, description="How many labelled boxes to show beside each.")
    ] = 3,
    offset: Annotated[int, Query(ge=0, le=2**63 - 1, description="Images to skip.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> HeldPage:
    """
    List the held images of a split, each with the labelled boxes that its detection looks like.

    They come from the version's last test, the most object-like first. A verdict `negative` or
    `contains-object` ends the holding of an image.
    """
    return service.list_held(
        session, model_version, split, num_nearest=num_nearest, offset=offset, limit=limit
    )
