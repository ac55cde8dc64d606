"""Images over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, File, Form, Header, Path, Query, Response, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from hardneg.schemas.images import (
    AnySplit,
    ImageOut,
    ImagePage,
    Judgement,
    ScoredImageOut,
    ScoreOut,
    Split,
    UploadItem,
    UploadResult,
)
from hardneg.schemas.text import PlainText
from service.errors import problem_of, problem_responses
from service.images import service, views
from service.images.ingest import Ingest, Outcome, Upload
from service.images.storing import Purpose
from service.scoring.resources import ReadSessionDep, ResourcesDep, SessionDep
from service.serving.backlog import BacklogDep
from service.text import plain_file_name

router = APIRouter(tags=["images"])

ImageId = Annotated[int, Path(ge=1, le=2**63 - 1, examples=[42])]

UPLOAD_PROBLEMS = problem_responses(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
UNKNOWN_IMAGE = problem_responses(HTTPStatus.NOT_FOUND)


@router.post(
    "/images",
    status_code=HTTPStatus.CREATED,
    response_model=ScoredImageOut,
    responses={
        200: {"model": ScoredImageOut, "description": "The same bytes are known already"},
        202: {
            "model": ScoredImageOut | UploadResult,
            "description": "Stored; scoring follows (`Prefer: respond-async`)",
        },
        207: {"model": UploadResult, "description": "Several files: an item for each, in order"},
        **UPLOAD_PROBLEMS,
    },
)
def upload_images(
    resources: ResourcesDep,
    backlog: BacklogDep,
    files: Annotated[list[UploadFile], File(description="One image or more.", min_length=1)],
    split: Annotated[Split, Form(description="What the images are for.")] = Split.POOL,
    source: Annotated[PlainText, Form(description="Where they come from.")] = "",
    prefer: Annotated[str, Header(description="`respond-async`: do not wait for scores.")] = "",
) -> Response:
    """
    Store images and score them with the serving model version.

    Bytes are durable before the answer. The same bytes get the same id. While no version
    serves, images are stored and scored later.
    """
    is_async = "respond-async" in (token.strip().lower() for token in prefer.split(","))
    purpose = Purpose(split, source, resources.settings.seal_fraction)
    ingest = Ingest(resources, purpose, scores_now=not is_async)
    uploads = [Upload(plain_file_name(file.filename), file.file) for file in files]
    outcomes = list(ingest.run(uploads))
    backlog.add([o.image.id for o in outcomes if o.image and o.score is None])
    return _upload_response(outcomes, is_async)


def _upload_response(outcomes: list[Outcome], is_async: bool) -> Response:
    headers = {"Preference-Applied": "respond-async"} if is_async else {}
    if len(outcomes) > 1:
        result = UploadResult(items=[_upload_item(outcome) for outcome in outcomes])
        status = HTTPStatus.ACCEPTED if is_async else HTTPStatus.MULTI_STATUS
        return _json(result, status, headers)
    (outcome,) = outcomes
    if outcome.error is not None:
        raise outcome.error
    if outcome.status == HTTPStatus.CREATED and outcome.image is not None:
        headers["Location"] = f"/images/{outcome.image.id}"
    item = _upload_item(outcome).image
    assert item is not None
    return _json(item, outcome.status, headers)


def _upload_item(outcome: Outcome) -> UploadItem:
    score = outcome.score or views.NOT_SCORED
    return UploadItem(
        file_name=outcome.file_name,
        status=outcome.status,
        image=views.scored_image_out(outcome.image, score) if outcome.image else None,
        problem=problem_of(outcome.error) if outcome.error else None,
    )


def _json(body: BaseModel, status: int, headers: dict[str, str]) -> Response:
    return Response(body.model_dump_json(), status, headers, "application/json")


@router.post(
    "/score",
    responses={**UPLOAD_PROBLEMS, **problem_responses(HTTPStatus.SERVICE_UNAVAILABLE)},
)
def score_image(
    resources: ResourcesDep,
    file: Annotated[UploadFile, File(description="One image.")],
) -> ScoreOut:
    """Score one image with the serving model version; nothing is stored."""
    return service.score_bytes(resources, file.file.read())


@router.get("/images")
def list_images(
    session: ReadSessionDep,
    split: Annotated[AnySplit | None, Query(description="Only this split.")] = None,
    source: Annotated[PlainText | None, Query(description="Only this source.")] = None,
    after_id: Annotated[int, Query(ge=0, le=2**63 - 1, description="Ids above this.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ImagePage:
    """Stored images, in order of id."""
    images = service.list_images(
        session, split=split, source=source, after_id=after_id, limit=limit
    )
    return ImagePage(
        items=[views.image_out(image) for image in images],
        next_after_id=images[-1].id if len(images) == limit else None,
    )


@router.get("/images/{image_id}", responses=UNKNOWN_IMAGE)
def show_image(resources: ResourcesDep, image_id: ImageId) -> ScoredImageOut:
    """One image, with its score by the serving version."""
    return service.show_image(resources.read_sessions, image_id)


@router.get(
    "/images/{image_id}/content",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}, "description": "The bytes"}, **UNKNOWN_IMAGE},
)
def image_content(session: ReadSessionDep, resources: ResourcesDep, image_id: ImageId) -> Response:
    """The image's bytes, as they were uploaded."""
    image, chunks = service.image_content(session, resources.blobs, image_id)
    headers = {
        "Content-Length": str(image.size_bytes),
        "Cache-Control": "private, max-age=31536000, immutable",
        "ETag": f'"{image.sha256}"',
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(chunks, media_type=image.media_type, headers=headers)


@router.get(
    "/images/{image_id}/thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "A JPEG"}, **UNKNOWN_IMAGE},
)
def image_thumbnail(
    session: ReadSessionDep,
    resources: ResourcesDep,
    image_id: ImageId,
    max_side: Annotated[int, Query(ge=16, le=1024, description="In pixels.")] = 256,
) -> Response:
    """The image, upright and made small."""
    content = service.image_thumbnail(session, resources.blobs, image_id, max_side)
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(content, media_type="image/jpeg", headers=headers)


@router.put(
    "/images/{image_id}/verdict",
    responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def judge_image(session: SessionDep, image_id: ImageId, judgement: Judgement) -> ImageOut:
    """
    Say whether an unlabelled image holds an object.

    Images that do are neither ranked nor trained on as negatives, nor counted in the tests.
    """
    return service.judge_image(session, image_id, judgement.verdict)


@router.delete("/images/{image_id}", status_code=HTTPStatus.NO_CONTENT, responses=UNKNOWN_IMAGE)
def delete_image(resources: ResourcesDep, image_id: ImageId) -> None:
    """Delete an image: its bytes, its scores and its rank."""
    service.delete_image(resources.sessions, resources.blobs, image_id)
