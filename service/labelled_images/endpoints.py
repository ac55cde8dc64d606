"""Labelled images over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, File, Form, Query, UploadFile

from hardneg.schemas.labelled_images import LabelledImagePage, LabelledSplit, LabelledUploadResult
from hardneg.schemas.text import PlainText
from service.errors import problem_responses
from service.images.storing import Destination
from service.imports.entries import Limits
from service.labelled_images import service
from service.labelled_images.annotations import InvalidAnnotations, read_part
from service.labelled_images.sources import LabelledZip, uploaded_files
from service.roles import requires
from service.scoring.resources import IN_TURN, ReadSessionDep, ResourcesDep

router = APIRouter(prefix="/labelled-images", tags=["labelled images"])


@router.post(
    "",
    dependencies=IN_TURN,
    status_code=HTTPStatus.MULTI_STATUS,
    responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
)
@requires("write")
def upload_labelled_images(
    resources: ResourcesDep,
    split: Annotated[
        LabelledSplit,
        Form(description="`train` to train on, `val` to choose and compare versions by."),
    ],
    annotations: Annotated[UploadFile | None, File(description="COCO instances as JSON.")] = None,
    archive: Annotated[
        UploadFile | None,
        File(description="A zip of the images, and of the JSON unless it is sent separately."),
    ] = None,
    files: Annotated[
        list[UploadFile] | None, File(description="The images, instead of an archive.")
    ] = None,
    source: Annotated[PlainText, Form(description="Where the images come from.")] = "",
) -> LabelledUploadResult:
    """
    Store images with their boxes, annotated in COCO's form.

    An image without boxes shows no object. Errors are listed item by item, and everything else is
    stored. For an image that is stored already, the new boxes replace the old ones; if it is in
    another split, it is refused.
    """
    if (archive is None) == (files is None):
        raise InvalidAnnotations("send either 'archive', a zip, or 'files', the images")
    destination = Destination(split, source)
    if archive is not None:
        settings = resources.settings
        limits = Limits(settings.max_body_bytes, settings.max_import_bytes, settings.max_files)
        unpacked = LabelledZip(archive.file, limits)
        content = read_part(annotations) if annotations else unpacked.annotations()
        return service.store_labelled_images(resources, destination, content, unpacked.find)
    if annotations is None:
        raise InvalidAnnotations("send the COCO JSON in the field 'annotations'")
    find_file = uploaded_files({file.filename or "": file.file for file in files or []})
    content = read_part(annotations)
    return service.store_labelled_images(resources, destination, content, find_file)


@router.get("")
@requires("read")
def list_labelled_images(
    session: ReadSessionDep,
    split: Annotated[LabelledSplit, Query(description="Only this split.")],
    after_id: Annotated[int, Query(ge=0, le=2**63 - 1, description="Only ids above this.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> LabelledImagePage:
    """List labelled images with their boxes, in order of id."""
    return service.list_labelled_images(session, split=split, after_id=after_id, limit=limit)
