"""One verdict for many images, over HTTP."""

from http import HTTPStatus

from fastapi import APIRouter

from hardneg.schemas.verdicts import VerdictReport, VerdictRequest
from service.errors import problem_responses
from service.roles import requires
from service.scoring.resources import SessionDep
from service.verdicts import service

router = APIRouter(tags=["images"])


@router.post("/verdicts", responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND))
@requires("review")
def judge_images(session: SessionDep, request: VerdictRequest) -> VerdictReport:
    """
    Give one verdict to many images: up to 1000 chosen ones, or a whole family.

    Nobody's work is overwritten in silence: an image is judged only if its verdict is the one that
    the request expects, by default none. Any other image is a conflict, and stays as it is. All
    changes are saved together.
    """
    return service.judge_images(session, request)
