"""The ranked list over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response

from hardneg.schemas.hard_negatives import HardNegativePage, VerdictFilter
from hardneg.schemas.text import PlainText
from service.db import read_rows
from service.errors import problem_responses
from service.hard_negatives import service
from service.hard_negatives.views import page_json
from service.scoring.resources import ResourcesDep

QUICK_PAGE = 100  # read and written within a millisecond

router = APIRouter(tags=["hard negatives"])


@router.get(
    "/hard-negatives",
    response_model=HardNegativePage,
    responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
async def list_hard_negatives(
    resources: ResourcesDep,
    n: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 10,
    model_version: Annotated[
        PlainText | None, Query(min_length=1, description="Id or name; the serving one by default.")
    ] = None,
    min_score: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
    max_score: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
    label: Annotated[
        PlainText | None,
        Query(description="Only images with a detection of this class, from the floor up."),
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
) -> Response:
    """The pool's images on which a model version errs most surely, worst first."""

    def answer() -> bytes:
        with resources.read_sessions.begin() as session:
            page = service.list_hard_negatives(
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
        return page_json(page)

    is_narrowed = any(value is not None for value in (label, source, verdict, trained))
    is_quick = n <= QUICK_PAGE and not is_narrowed
    content = await read_rows(resources.read_sessions, answer, is_quick=is_quick)
    return Response(content, media_type="application/json")
