"""Measurements over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from hardneg.schemas.stats import FalseDetectionReport, IterationPage
from hardneg.schemas.text import PlainText
from service.errors import problem_responses
from service.roles import requires
from service.scoring.resources import ReadSessionDep
from service.stats import service

router = APIRouter(prefix="/stats", tags=["stats"])


@router.get(
    "/false-detections", responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
)
@requires("read")
def report_false_detections(
    session: ReadSessionDep,
    model_version: Annotated[
        PlainText | None, Query(min_length=1, description="Id or name; the serving one by default.")
    ] = None,
    threshold: Annotated[
        float,
        Query(ge=0, le=1, allow_inf_nan=False, description="Score from which a detection counts."),
    ] = 0.5,
) -> FalseDetectionReport:
    """Report what a version finds on the sealed negatives, where every detection is false."""
    return service.report_false_detections(session, model_version, threshold)


@router.get("/iterations")
@requires("read")
def list_iterations(
    session: ReadSessionDep,
    after_id: Annotated[
        int, Query(ge=0, le=2**63 - 1, description="Only version ids above this.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> IterationPage:
    """List the two curves of a mining run, AP and false detections, with a point per version."""
    return service.list_iterations(session, after_id, limit)
