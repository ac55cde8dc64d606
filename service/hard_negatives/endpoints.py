"""The ranked list over HTTP."""

from http import HTTPStatus
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Response

from hardneg.schemas.hard_negatives import HardNegativePage, VerdictFilter
from hardneg.schemas.text import PlainText
from service.errors import problem_responses
from service.hard_negatives import service
from service.hard_negatives.views import page_json
from service.scoring.resources import ResourcesDep

router = APIRouter(tags=["hard negatives"])


@router.get(
    "/hard-negatives",
    response_model=HardNegativePage,
    responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
async def list_hard_negatives(
    resources: ResourcesDep,
    n: Annotated[int, Query(ge=1, le=1000, description="How many images to list.")] = 10,
    model_version: Annotated[
        PlainText | None,
        Query(min_length=1, description="Id or name; the serving version by default."),
    ] = None,
    min_score: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
    max_score: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
    label: Annotated[
        PlainText | None,
        Query(description="List only images with a detection of this class above the floor."),
    ] = None,
    source: Annotated[
        PlainText | None, Query(description="List only images of this source.")
    ] = None,
    verdict: Annotated[
        VerdictFilter | None,
        Query(description="By default all images but those judged to contain an object."),
    ] = None,
    trained: Annotated[
        bool | None,
        Query(
            description="`true` lists only images that the version or an ancestor trained on, "
            "`false` only the others."
        ),
    ] = None,
    cursor: Annotated[
        str | None, Query(max_length=300, description="`next_cursor` of the page before.")
    ] = None,
) -> Response:
    """List the pool's images on which a model version errs most surely, worst first."""

    def read() -> bytes:
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

    # a `def` endpoint would use FastAPI's 40 threads, which cost half the requests a second
    page = await to_thread.run_sync(read, limiter=resources.list_readers)
    return Response(page, media_type="application/json")
