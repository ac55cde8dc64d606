"""The ranked list over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from service.db import ReadSessionDep
from service.errors import problem_responses
from service.hard_negatives import service
from service.hard_negatives.schemas import HardNegativePage, VerdictFilter
from service.text import PlainText

router = APIRouter(tags=["hard negatives"])


@router.get(
    "/hard-negatives", responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
)
def list_hard_negatives(
    session: ReadSessionDep,
    n: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 10,
    model_version: Annotated[
        PlainText | None, Query(min_length=1, description="Id or name; the serving one by default.")
    ] = None,
    min_score: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
    max_score: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
    label: Annotated[
        PlainText | None, Query(description="Only images with a detection of this class.")
    ] = None,
    source: Annotated[PlainText | None, Query(description="Only images from there.")] = None,
    verdict: Annotated[
        VerdictFilter | None,
        Query(description="By default all but the images judged to contain an object."),
    ] = None,
    trained: Annotated[
        bool | None,
        Query(description="Only images that the version or an ancestor has trained on, or none."),
    ] = None,
    cursor: Annotated[
        str | None, Query(max_length=300, description="`next_cursor` of the page before.")
    ] = None,
) -> HardNegativePage:
    """The pool's images on which a model version errs most surely, worst first."""
    return service.list_hard_negatives(
        session,
        n=n,
        model_version=model_version,
        min_score=min_score,
        max_score=max_score,
        label=label,
        source=source,
        verdict=verdict,
        trained=trained,
        cursor=cursor,
    )
