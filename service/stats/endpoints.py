"""Measurements over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from hardneg.schemas.firing import FiringChange, FiringReport
from hardneg.schemas.images import Split
from hardneg.schemas.stats import FalseDetectionReport, IterationPage
from hardneg.schemas.text import PlainText
from service.errors import problem_responses
from service.roles import requires
from service.scoring.resources import ReadSessionDep, ResourcesDep
from service.stats import comparing, service

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


FiringThreshold = Annotated[
    float | None,
    Query(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Score from which a detection counts; the operating threshold by default.",
    ),
]


@router.get("/firing", responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
@requires("read")
def report_firing(
    session: ReadSessionDep,
    resources: ResourcesDep,
    model_version: Annotated[
        PlainText | None, Query(min_length=1, description="Id or name; the serving one by default.")
    ] = None,
    before: Annotated[
        PlainText | None,
        Query(
            min_length=1,
            description="Id or name of the version to compare with; the parent version by default.",
        ),
    ] = None,
    split: Annotated[Split, Query(description="Which images to look at.")] = Split.NEGATIVE_TEST,
    change: Annotated[
        FiringChange, Query(description="Which images to list.")
    ] = FiringChange.STOPPED,
    threshold: FiringThreshold = None,
    threshold_before: FiringThreshold = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> FiringReport:
    """
    List images without objects on which a version stopped firing, started, or still fires.

    A version fires on an image if it has a detection there, at its threshold.
    """
    return comparing.report_firing(
        session,
        resources.settings,
        model_version=model_version,
        before=before,
        split=split,
        change=change,
        threshold=threshold,
        threshold_before=threshold_before,
        offset=offset,
        limit=limit,
    )
