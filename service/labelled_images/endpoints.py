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
from service.labelled_images.service import InvalidAnnotations, LabelledIngest
from service.labelled_images.sources import LabelledZip, uploaded_files
from service.scoring.resources import ReadSessionDep, ResourcesDep

router = APIRouter(prefix="/labelled-images", tags=["labelled images"])


@router.post(
    "",
    status_code=HTTPStatus.MULTI_STATUS,
    responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
)
def upload_labelled_images(
    resources: ResourcesDep,
    split: Annotated[LabelledSplit, Form(description="What the images are for.")],
    annotations: Annotated[UploadFile | None, File(description="COCO instances as JSON.")] = None,
    archive: Annotated[
        UploadFile | None,
        File(description="A zip of the images, with the JSON unless it is sent beside."),
    ] = None,
    files: Annotated[list[UploadFile] | None, File(description="Or the images themselves.")] = None,
    source: Annotated[PlainText, Form(description="Where they come from.")] = "",
) -> LabelledUploadResult:
    """
    Store images with COCO boxes to train on, or to choose and compare versions by.

    Images without boxes show no object. Whatever is wrong is named item by item, and the rest
    goes in. The same bytes sent again have their boxes replaced; in another split they are
    refused.
    """
    if (archive is None) == (files is None):
        raise InvalidAnnotations("send either 'archive', a zip, or 'files', the images")
    ingest = LabelledIngest(resources, Destination(split, source))
    if archive is not None:
        settings = resources.settings
        limits = Limits(settings.max_body_bytes, settings.max_import_bytes, settings.max_files)
        unpacked = LabelledZip(archive.file, limits)
        content = annotations.file.read() if annotations else unpacked.annotations()
        return ingest.run(content, unpacked.find)
    if annotations is None:
        raise InvalidAnnotations("send the COCO JSON in the field 'annotations'")
    by_name = {file.filename or "": file.file for file in files or []}
    return ingest.run(annotations.file.read(), uploaded_files(by_name))


@router.get("")
def list_labelled_images(
    session: ReadSessionDep,
    split: Annotated[LabelledSplit, Query(description="Only this split.")],
    after_id: Annotated[int, Query(ge=0, le=2**63 - 1, description="Ids above this.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> LabelledImagePage:
    """Labelled images with their boxes, in order of id."""
    return service.list_labelled_images(session, split=split, after_id=after_id, limit=limit)
