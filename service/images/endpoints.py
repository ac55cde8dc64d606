"""Images over HTTP."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Header, Path, Query, Response, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from hardneg.schemas.images import (
    AnySplit,
    ImagePage,
    JudgedImageOut,
    Judgement,
    ScoredImageOut,
    ScoreOut,
    Split,
    UploadResult,
)
from hardneg.schemas.text import PlainText
from service.errors import problem_responses
from service.images import judging, service, views
from service.images.ingest import IngestedFile, UploadedFile, ingest
from service.images.storing import Destination
from service.roles import requires
from service.scoring.engine import LoadedVersion
from service.scoring.resources import IN_TURN, ReadSessionDep, ResourcesDep, SessionDep
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
    dependencies=IN_TURN,
    status_code=HTTPStatus.CREATED,
    response_model=ScoredImageOut,
    responses={
        200: {"model": ScoredImageOut, "description": "The same bytes were stored before"},
        202: {
            "model": ScoredImageOut | UploadResult,
            "description": "Stored, to be scored soon (`Prefer: respond-async`)",
        },
        207: {"model": UploadResult, "description": "Several files: one item for each, in order"},
        **UPLOAD_PROBLEMS,
    },
)
@requires("write")
def upload_images(
    resources: ResourcesDep,
    backlog: BacklogDep,
    files: Annotated[list[UploadFile], File(description="One image or more.", min_length=1)],
    split: Annotated[Split, Form(description="The split to store them in.")] = Split.POOL,
    source: Annotated[PlainText, Form(description="Where the images come from.")] = "",
    prefer: Annotated[
        str, Header(description="`respond-async` answers without waiting for scores.")
    ] = "",
) -> Response:
    """
    Store images and score them with the serving model version.

    The images' bytes are durable before the answer. The same bytes keep the same id. While no
    version serves, images are stored, and scored as soon as one does.
    """
    is_async = "respond-async" in (token.strip().lower() for token in prefer.split(","))
    version = None if is_async else resources.scorer.serving
    destination = Destination(split, source, resources.settings.seal_fraction)
    uploaded = [UploadedFile(plain_file_name(file.filename), file.file) for file in files]
    ingested = list(ingest(resources, uploaded, destination, version))
    backlog.add([file.image.id for file in ingested if file.image and file.score is None])
    return _upload_response(ingested, version, is_async)


def _upload_response(
    ingested: Sequence[IngestedFile], version: LoadedVersion | None, is_async: bool
) -> Response:
    headers = {"Preference-Applied": "respond-async"} if is_async else {}
    items = [views.upload_item(file, version, is_async=is_async) for file in ingested]
    if len(items) > 1:
        status = HTTPStatus.ACCEPTED if is_async else HTTPStatus.MULTI_STATUS
        return _json(UploadResult(items=items), status, headers)
    (file,), (item,) = ingested, items
    if file.error is not None:
        raise file.error
    assert item.image is not None
    if item.status == HTTPStatus.CREATED:
        headers["Location"] = item.image.links.self
    return _json(item.image, item.status, headers)


def _json(body: BaseModel, status: int, headers: dict[str, str]) -> Response:
    return Response(body.model_dump_json(), status, headers, "application/json")


@router.post(
    "/score",
    dependencies=IN_TURN,
    responses={**UPLOAD_PROBLEMS, **problem_responses(HTTPStatus.SERVICE_UNAVAILABLE)},
)
@requires("read")
def score_image(
    resources: ResourcesDep,
    file: Annotated[UploadFile, File(description="One image.")],
) -> ScoreOut:
    """Score one image with the serving model version, without storing it."""
    version, result = service.score_bytes(resources, file.file.read())
    return views.score_out(version, result)


@router.get("/images")
@requires("read")
def list_images(
    session: ReadSessionDep,
    split: Annotated[AnySplit | None, Query(description="List only this split.")] = None,
    source: Annotated[PlainText | None, Query(description="List only this source.")] = None,
    after_id: Annotated[int, Query(ge=0, le=2**63 - 1, description="List ids above this.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ImagePage:
    """List stored images in order of id."""
    images = service.list_images(
        session, split=split, source=source, after_id=after_id, limit=limit
    )
    return ImagePage(
        items=[views.image_out(image) for image in images],
        next_after_id=images[-1].id if len(images) == limit else None,
    )


@router.get("/images/{image_id}", responses=UNKNOWN_IMAGE)
@requires("read")
def show_image(
    session: ReadSessionDep,
    image_id: ImageId,
    model_version: Annotated[
        PlainText | None,
        Query(
            min_length=1,
            description="Id or name of the version whose score to show; the "
            "serving version by default.",
        ),
    ] = None,
) -> ScoredImageOut:
    """Show one image with its score by one model version; nulls if it has none by that version."""
    image, version, result, judged = service.show_image(session, image_id, model_version)
    return views.scored_image_out(image, views.score_out(version, result), judged)


@router.get(
    "/images/{image_id}/content",
    response_class=Response,
    responses={
        200: {"content": {"image/*": {}}, "description": "The image's bytes"},
        **problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    },
)
@requires("read")
def image_content(session: ReadSessionDep, resources: ResourcesDep, image_id: ImageId) -> Response:
    """Download the image's bytes as they were uploaded."""
    image, chunks = service.image_content(session, resources.blobs, image_id)
    headers = {
        "Content-Length": str(image.size_bytes),
        "Cache-Control": "private, max-age=31536000, immutable",
        "ETag": f'"{image.sha256}"',
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(image.file_name or 'image')}",
        # Bytes of strangers: a browser must neither guess another type nor run anything in them.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return StreamingResponse(chunks, media_type=image.media_type, headers=headers)


@router.get(
    "/images/{image_id}/thumbnail",
    dependencies=IN_TURN,
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "A JPEG"}, **UNKNOWN_IMAGE},
)
@requires("read")
def image_thumbnail(
    resources: ResourcesDep,
    image_id: ImageId,
    max_side: Annotated[int, Query(ge=16, le=1024, description="Longest side in pixels.")] = 256,
) -> Response:
    """Show the image upright and reduced, encoded again as a JPEG."""
    content = service.image_thumbnail(resources, image_id, max_side)
    headers = {
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, media_type="image/jpeg", headers=headers)


@router.put(
    "/images/{image_id}/verdict",
    responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
@requires("review")
def judge_image(session: SessionDep, image_id: ImageId, judgement: Judgement) -> JudgedImageOut:
    """
    Set a person's verdict on an unlabelled image: whether it contains an object.

    An image that does is not ranked, and not counted among the sealed negatives. It is trained on
    as a negative only if a box in it is judged to hold no object, and then without the places
    where an object may be: boxes that are judged to hold one, and detections that are not judged.
    Send in `expected` the verdict that you saw, so that nobody's work is overwritten in silence.
    """
    return views.judged_image_out(*judging.judge_image(session, image_id, judgement))


@router.delete("/images/{image_id}", status_code=HTTPStatus.NO_CONTENT, responses=UNKNOWN_IMAGE)
@requires("admin")
def delete_image(resources: ResourcesDep, image_id: ImageId) -> None:
    """Delete an image with its bytes, its scores and its rank."""
    service.delete_image(resources, image_id)
