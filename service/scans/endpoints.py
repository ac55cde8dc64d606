"""Scans over HTTP."""

from http import HTTPStatus

from fastapi import APIRouter, Response

from hardneg.schemas.jobs import JobOut
from hardneg.schemas.scans import ScanRequest
from service.errors import problem_responses
from service.roles import requires
from service.scans import service
from service.scoring.resources import SessionDep

router = APIRouter(prefix="/scans", tags=["model versions"])


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
@requires("train")
def start_scan(
    session: SessionDep, response: Response, request: ScanRequest | None = None
) -> JobOut:
    """
    Score all stored images that a version has not scored: the pool, the sealed images, and val.

    The version need not serve. Every process that runs `hardneg worker --lanes scan` helps.
    """
    job = service.queue_scan(session, request.model_version if request else None)
    response.headers["Location"] = job.links.self
    return job
