"""Images that look alike, and their map, over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from hardneg.schemas.families import MAX_MAPPED_IMAGES
from hardneg.schemas.look_alikes import DuplicateImages, LookAlikeMap, SimilarImages
from hardneg.schemas.text import PlainText
from service.errors import problem_responses
from service.look_alikes import service, views
from service.roles import requires
from service.scoring.resources import ReadSessionDep

router = APIRouter(tags=["hard negatives"])

ImageId = Annotated[int, Path(ge=1, le=2**63 - 1, examples=[42])]
GroupedBy = Annotated[
    PlainText | None, Query(min_length=1, description="Id or name; the serving one by default.")
]
PROBLEMS = problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


@router.get("/images/{image_id}/similar", responses=PROBLEMS)
@requires("read")
def list_similar_images(
    session: ReadSessionDep,
    image_id: ImageId,
    n: Annotated[int, Query(ge=1, le=100, description="How many images to list.")] = 10,
    model_version: GroupedBy = None,
) -> SimilarImages:
    """
    List the images of the pool that look most like an image, by a version's best detections.

    Compared are the hardest images, as many as the version's last grouping placed on the map.
    """
    return service.list_similar(session, image_id, n=n, model_version=model_version)


@router.get("/images/{image_id}/duplicates", responses=problem_responses(HTTPStatus.NOT_FOUND))
@requires("read")
def list_duplicates(
    session: ReadSessionDep,
    image_id: ImageId,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DuplicateImages:
    """List the near-duplicates of an image in the pool: re-encoded, cropped or mirrored copies."""
    return service.list_duplicates(session, image_id, limit=limit)


@router.get("/map", response_model=LookAlikeMap, responses=PROBLEMS)
@requires("read")
def show_map(
    session: ReadSessionDep,
    model_version: GroupedBy = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_MAPPED_IMAGES, description="How many points to show.")
    ] = MAX_MAPPED_IMAGES,
) -> Response:
    """Show the detections of a version's last grouping on a plane, the hardest images first."""
    shown = service.show_map(session, model_version, limit)
    return Response(views.map_json(shown), media_type="application/json")
