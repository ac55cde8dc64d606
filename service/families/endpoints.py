"""Families of look-alikes, over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from hardneg.schemas.families import FamilyPage, FamilyReport, GroupingRequest
from hardneg.schemas.jobs import JobOut
from hardneg.schemas.text import PlainText
from service.errors import problem_responses
from service.families import service
from service.roles import requires
from service.scoring.resources import ReadSessionDep, SessionDep

router = APIRouter(prefix="/families", tags=["hard negatives"])

MAX_ID = 2**63 - 1


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
@requires("train")
def start_grouping(
    session: SessionDep, response: Response, request: GroupingRequest | None = None
) -> JobOut:
    """
    Group a version's hardest images into families of look-alikes.

    The job describes what each image's best detection shows, whatever the detector is, and groups
    the images that a retraining could mine. `GET /families` shows the result until the next
    grouping of that version.
    """
    job = service.queue_grouping(session, request or GroupingRequest())
    response.headers["Location"] = job.links.self
    return job


@router.get("", responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
@requires("read")
def list_families(
    session: ReadSessionDep,
    model_version: Annotated[
        PlainText | None, Query(min_length=1, description="Id or name; the serving one by default.")
    ] = None,
    threshold: Annotated[
        float, Query(ge=0, le=1, description="Score from which a detection counts.")
    ] = 0.5,
    min_size: Annotated[
        int, Query(ge=1, le=MAX_ID, description="Only families of at least so many images.")
    ] = 1,
    num_members: Annotated[
        int, Query(ge=0, le=50, description="How many of its hardest images each family shows.")
    ] = 6,
    after_number: Annotated[
        int, Query(ge=0, le=MAX_ID, description="List families with numbers above this.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many families to list.")] = 100,
) -> FamilyReport:
    """
    List the families of a version's last grouping, by the best score in each.

    Each comes with its share of the false detections on sealed images, and with the scores that
    other versions of the same line gave its images.
    """
    return service.list_families(
        session,
        model_version=model_version,
        threshold=threshold,
        min_size=min_size,
        num_members=num_members,
        after_number=after_number,
        limit=limit,
    )


@router.get("/{family_id}", responses=problem_responses(HTTPStatus.NOT_FOUND))
@requires("read")
def show_family(
    session: ReadSessionDep,
    family_id: Annotated[int, Path(ge=1, le=MAX_ID)],
    offset: Annotated[int, Query(ge=0, le=MAX_ID, description="Images to skip.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> FamilyPage:
    """Show one family with its images, hardest first."""
    return service.show_family(session, family_id, offset=offset, limit=limit)
