"""The rules of import requests."""

from http import HTTPStatus
from typing import BinaryIO
from uuid import uuid4

from hardneg.schemas.jobs import JobOut
from service.errors import ServiceError
from service.imports.archives import is_archive
from service.imports.job import IMPORT
from service.imports.places import check_allowed
from service.imports.schemas import ImportFields, ImportFromUri, ImportParams
from service.jobs.service import enqueue
from service.scoring.resources import Resources


class UnsupportedArchive(ServiceError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    slug = "unsupported-archive"
    title = "Not an archive of a supported format"

    def __init__(self) -> None:
        super().__init__(
            "the file is not an archive that can be read: send a zip, or a tar that is plain or "
            "compressed by gzip, bzip2 or xz"
        )


def import_archive(
    resources: Resources, file: BinaryIO, file_name: str, fields: ImportFields
) -> JobOut:
    """Store an archive for a worker, and queue its import. Raises UnsupportedArchive."""
    if not is_archive(file):
        raise UnsupportedArchive
    key = f"uploads/{uuid4().hex}"
    resources.blobs.put(key, file)
    params = ImportParams(**fields.model_dump(), upload_key=key, file_name=file_name)
    with resources.sessions.begin() as session:
        return enqueue(session, IMPORT, params)


def import_place(resources: Resources, request: ImportFromUri) -> JobOut:
    """Queue the import of a folder or a bucket prefix. Raises PlaceNotAllowed."""
    check_allowed(request.uri, resources.settings)
    with resources.sessions.begin() as session:
        return enqueue(session, IMPORT, ImportParams(**request.model_dump()))
