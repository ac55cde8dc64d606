"""The ranked list over HTTP."""

from http import HTTPStatus
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from hardneg.schemas.exports import ExportedImages, ExportFormat
from hardneg.schemas.hard_negatives import HardNegativePage, VerdictFilter
from hardneg.schemas.text import PlainText
from service.errors import problem_responses
from service.exports.export import ExportOptions
from service.exports.response import ZIP_ANSWER, service_url, zip_response
from service.hard_negatives import export, service
from service.hard_negatives.views import page_json
from service.roles import requires
from service.scoring.resources import ResourcesDep

router = APIRouter(tags=["hard negatives"])

RankedBy = Annotated[
    PlainText | None,
    Query(min_length=1, description="Id or name; the serving version by default."),
]
ScoreBound = Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)]
FoundLabel = Annotated[
    PlainText | None,
    Query(description="Only images with a detection of this class above the floor."),
]
OneSource = Annotated[PlainText | None, Query(description="Only images of this source.")]
OneVerdict = Annotated[
    VerdictFilter | None,
    Query(description="By default all images but those judged to contain an object."),
]
IsTrained = Annotated[
    bool | None,
    Query(
        description="`true`: only images that the version or an ancestor trained on, `false`: only "
        "the others."
    ),
]
IsHeld = Annotated[
    bool | None,
    Query(
        description="`true`: only images that look like true objects by the version's last hold "
        "test, the most object-like first; `false`: only the others."
    ),
]
Collapses = Annotated[
    bool, Query(description="Of near-duplicates, take only the hardest, with their number.")
]


@router.get(
    "/hard-negatives",
    response_model=HardNegativePage,
    responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
@requires("read")
async def list_hard_negatives(
    resources: ResourcesDep,
    n: Annotated[int, Query(ge=1, le=1000, description="How many images to list.")] = 10,
    model_version: RankedBy = None,
    min_score: ScoreBound = None,
    max_score: ScoreBound = None,
    label: FoundLabel = None,
    source: OneSource = None,
    verdict: OneVerdict = None,
    trained: IsTrained = None,
    held: IsHeld = None,
    collapse: Collapses = False,
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
                held=held,
                cursor=cursor,
                collapse=collapse,
            )
        return page_json(page)

    # a `def` endpoint would use FastAPI's 40 threads, which cost half the requests a second
    page = await to_thread.run_sync(read, limiter=resources.list_readers)
    return Response(page, media_type="application/json")


@router.get(
    "/hard-negatives/export",
    response_class=Response,
    responses={**ZIP_ANSWER, **problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)},
)
@requires("train")
def export_hard_negatives(
    resources: ResourcesDep,
    request: Request,
    file_format: Annotated[
        ExportFormat, Query(alias="format", description="How the labels are written.")
    ],
    images: Annotated[
        ExportedImages,
        Query(description="Whether the zip holds the images, or links to them."),
    ] = ExportedImages.INSIDE,
    n: Annotated[int, Query(ge=1, le=100_000, description="How many images to export.")] = 10,
    model_version: RankedBy = None,
    min_score: ScoreBound = None,
    max_score: ScoreBound = None,
    label: FoundLabel = None,
    source: OneSource = None,
    verdict: OneVerdict = None,
    trained: IsTrained = None,
    held: IsHeld = None,
    collapse: Collapses = False,
) -> Response:
    """
    Download the worst images as negatives, in a zip that other tools read.

    Every image is written down as one without objects; `hardneg.jsonl` has its digest, verdict,
    score and detections. Images that were judged to contain an object are not in it, unless
    `verdict=contains-object` asks for them: then the zip holds those with judged objects, and
    these boxes as labels.
    """
    options = ExportOptions(file_format, images, service_url(request))
    with resources.read_sessions.begin() as session:
        exported = export.export_hard_negatives(
            session,
            resources.blobs,
            options,
            n=n,
            model_version=model_version,
            min_score=min_score,
            max_score=max_score,
            label=label,
            source=source,
            verdict=verdict,
            trained=trained,
            held=held,
            collapse=collapse,
        )
    return zip_response(exported)
