"""Imports over HTTP: an archive in a form, or the URI of a place as JSON."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from hardneg.schemas.jobs import JobOut
from service.errors import ServiceError, problem_responses
from service.imports import service
from service.imports.schemas import ImportFields, ImportFromUri
from service.roles import requires
from service.scoring.resources import ResourcesDep
from service.text import plain_file_name

MAX_JSON_BYTES = 64 * 1024

M = TypeVar("M", bound=BaseModel)


class UnsupportedRequest(ServiceError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    slug = "unsupported-request"
    title = "Neither a form nor JSON"

    def __init__(self) -> None:
        super().__init__(
            "the request is neither a form nor JSON: send an archive as multipart/form-data, or "
            "the URI of a place as application/json"
        )


@dataclass(frozen=True, slots=True)
class UploadedArchive:
    """An archive with the fields that apply to its images."""

    file: UploadFile
    fields: ImportFields


async def read_request(request: Request) -> AsyncIterator[UploadedArchive | ImportFromUri]:
    """Parse the body by its media type. Raises UnsupportedRequest, RequestValidationError."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        yield _validated(ImportFromUri, await _read_json(request))
    elif media_type == "multipart/form-data":
        form = await _read_form(request)
        try:
            fields = dict(form)
            file = fields.pop("archive", None)
            if not isinstance(file, UploadFile):
                raise _invalid("archive", "Field required: the archive to import")
            yield UploadedArchive(file, _validated(ImportFields, fields))
        finally:
            await form.close()
    else:
        raise UnsupportedRequest


async def _read_form(request: Request) -> FormData:
    try:
        return await request.form(max_files=1, max_fields=10)
    except UnicodeError as error:
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, f"the form's charset cannot be decoded: {error}"
        ) from error


async def _read_json(request: Request) -> bytes:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_JSON_BYTES:
            raise _invalid("body", f"The JSON is longer than {MAX_JSON_BYTES} bytes")
    return content


def _validated(model: type[M], content: bytes | Mapping[str, object]) -> M:
    try:
        if isinstance(content, bytes):
            return model.model_validate_json(content)
        return model.model_validate(content)
    except ValidationError as error:
        items = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**item, "loc": ("body", *item["loc"])} for item in items]
        ) from error


def _invalid(field: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", field), "msg": message, "type": "value_error"}])


@requires("write")
def create_import(
    response: Response,
    resources: ResourcesDep,
    body: Annotated[UploadedArchive | ImportFromUri, Depends(read_request)],
) -> JobOut:
    """
    Import images from a zip or tar, or from a folder or bucket that the settings allow.

    A worker runs the import: the response is its job. The job's result counts the images, and
    lists the refused files with their reasons.
    """
    if isinstance(body, UploadedArchive):
        name = plain_file_name(body.file.filename)
        job = service.import_archive(resources, body.file.file, name, body.fields)
    else:
        job = service.import_place(resources, body)
    response.headers["Location"] = job.links.self
    return job


def add_route(max_body_size: int) -> APIRouter:
    """Build the router of imports, whose bodies may be larger than those of other routes."""
    router = APIRouter(tags=["imports"])
    router.add_api_route(
        "/imports",
        create_import,
        methods=["POST"],
        status_code=HTTPStatus.ACCEPTED,
        response_model=JobOut,
        max_body_size=max_body_size,
        responses=problem_responses(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        ),
        openapi_extra={"requestBody": {"required": True, "content": _request_content()}},
    )
    return router


def _request_content() -> dict[str, object]:
    form = ImportFields.model_json_schema(ref_template="#/components/schemas/{model}")
    place = ImportFromUri.model_json_schema(ref_template="#/components/schemas/{model}")
    form["properties"]["archive"] = {"type": "string", "format": "binary"}
    form["required"] = ["archive"]
    for schema in (form, place):
        schema.pop("$defs", None)  # of Split, which other routes define
    return {
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": place},
    }
