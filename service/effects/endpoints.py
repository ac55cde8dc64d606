"""The effect of a training run on false detections, over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query

from hardneg.schemas.effect import Change, RunEffect
from service.effects import service
from service.errors import problem_responses
from service.roles import requires
from service.scoring.resources import ReadSessionDep

router = APIRouter(tags=["training"])


@router.get(
    "/training-runs/{run_id}/effect",
    responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
@requires("read")
def show_effect(
    session: ReadSessionDep,
    run_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    threshold: Annotated[
        float, Query(ge=0, le=1, description="Score from which a detection counts.")
    ] = 0.5,
    threshold_after: Annotated[
        float | None,
        Query(ge=0, le=1, description="The same for the new version; by default `threshold`."),
    ] = None,
    change: Annotated[Change | None, Query(description="List only these detections.")] = None,
    limit: Annotated[int, Query(ge=0, le=1000, description="How many detections to list.")] = 100,
) -> RunEffect:
    """
    Show which false detections on sealed images vanished, stayed and are new after a training.

    A detection has stayed if the new version has one of the same class with an IoU of at least .5.
    Each comes with the family of the parent version that it falls to, and with the mined image that
    looks most like it, which need not be the cause.
    """
    return service.show_effect(
        session,
        run_id,
        threshold=threshold,
        threshold_after=threshold_after,
        change=change,
        limit=limit,
    )
