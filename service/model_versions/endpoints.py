"""Model versions over HTTP."""

import shutil
from http import HTTPStatus
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Path, Response, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from hardneg.schemas.model_versions import InspectedDetector, ModelVersionDetail, ModelVersionOut
from hardneg.schemas.text import PlainText
from models.detectors.foreign.inspection import SpecOverrides
from service.errors import problem_responses
from service.model_versions import foreign, service
from service.model_versions.onnx_form import spec_overrides
from service.model_versions.service import InvalidModelRequest
from service.scoring.resources import ReadSessionDep, ResourcesDep
from service.serving.backlog import BacklogDep

router = APIRouter(prefix="/model-versions", tags=["model versions"])

VersionKey = Annotated[PlainText, Path(min_length=1, description="Id or name.", examples=["v1"])]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]*$", max_length=100)]
UNKNOWN_VERSION = problem_responses(HTTPStatus.NOT_FOUND)


def add_route(max_body_size: int) -> APIRouter:
    """Return a router for the upload alone: a checkpoint may be larger than other bodies."""
    upload = APIRouter(prefix="/model-versions", tags=["model versions"])
    upload.add_api_route(
        "",
        add_version,
        methods=["POST"],
        status_code=HTTPStatus.CREATED,
        response_model=ModelVersionOut,
        max_body_size=max_body_size,
        responses={
            200: {"model": ModelVersionOut, "description": "The same checkpoint was added before"},
            **problem_responses(
                HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            ),
        },
    )
    upload.add_api_route(
        "/inspect",
        inspect_detector,
        methods=["POST"],
        response_model=InspectedDetector,
        max_body_size=max_body_size,
        responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    )
    return upload


def add_version(
    response: Response,
    resources: ResourcesDep,
    overrides: Annotated[SpecOverrides, Depends(spec_overrides)],
    checkpoint: Annotated[
        UploadFile | None,
        File(description="A safetensors file that hardneg wrote, or an ONNX file."),
    ] = None,
    architecture: Annotated[
        PlainText | None, Form(description="Instead of a file: the name of an architecture.")
    ] = None,
    weights: Annotated[
        PlainText | None, Form(description="The name of its weights: `COCO_V1`, `imagenet`, …")
    ] = None,
    name: Annotated[
        Name | None, Form(description="The version's name; `v` and its id by default.")
    ] = None,
) -> ModelVersionOut:
    """Add a model version from a checkpoint, or from an architecture and named weights."""
    if (checkpoint is None) == (architecture is None):
        raise InvalidModelRequest("send a 'checkpoint' file or an 'architecture', and not both")
    sessions, blobs = resources.sessions, resources.blobs
    with TemporaryDirectory(prefix="hardneg-") as folder:
        if checkpoint is not None:
            path = _keep(checkpoint, FilePath(folder))
            version, is_new = service.register_file(sessions, blobs, path, overrides, name=name)
        else:
            assert architecture is not None
            version, is_new = service.register_architecture(
                sessions,
                blobs,
                FilePath(folder),
                architecture=architecture,
                weights=weights,
                class_names=overrides.class_names or (),
                name=name,
            )
    response.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    response.headers["Location"] = f"/model-versions/{version.id}"
    return version


def inspect_detector(
    file: Annotated[UploadFile, File(description="An ONNX file.")],
    overrides: Annotated[SpecOverrides, Depends(spec_overrides)],
) -> InspectedDetector:
    """
    Say what an ONNX file is and how it would be scored; nothing is stored.

    Send what the file does not say itself in the other fields, as for adding it.
    """
    with TemporaryDirectory(prefix="hardneg-") as folder:
        return foreign.inspect(_keep(file, FilePath(folder)), overrides)


def _keep(file: UploadFile, folder: FilePath) -> FilePath:
    path = folder / "uploaded"
    with path.open("wb") as copy:
        shutil.copyfileobj(file.file, copy)
    return path


@router.get("")
def list_versions(session: ReadSessionDep) -> list[ModelVersionOut]:
    """List all model versions, newest first."""
    return service.list_versions(session)


@router.get("/{version}", responses=UNKNOWN_VERSION)
def show_version(session: ReadSessionDep, version: VersionKey) -> ModelVersionDetail:
    """Show one model version and how much of the pool it has scored."""
    return service.show_version(session, version)


@router.post(
    "/{version}/activate",
    responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def activate_version(
    resources: ResourcesDep, backlog: BacklogDep, version: VersionKey
) -> ModelVersionDetail:
    """
    Serve this version from now on, and score the pool with it in the background.

    The service loads it beside the old version and swaps the two between batches. Activate an
    older version to roll back: its scores are still there.
    """
    return service.activate(resources.sessions, backlog, version)


@router.get(
    "/{version}/checkpoint",
    response_class=Response,
    responses={
        200: {
            "content": {"application/octet-stream": {}},
            "description": "A safetensors or ONNX file",
        },
        **UNKNOWN_VERSION,
    },
)
def download_checkpoint(
    session: ReadSessionDep, resources: ResourcesDep, version: VersionKey
) -> Response:
    """Download the checkpoint: one file, which alone rebuilds the detector."""
    found, chunks = service.checkpoint_content(session, resources.blobs, version)
    suffix = FilePath(found.checkpoint_key).suffix
    headers = {
        "Content-Length": str(found.checkpoint_size_bytes),
        "Content-Disposition": f'attachment; filename="{found.name}{suffix}"',
        "ETag": f'"{found.checkpoint_sha256}"',
    }
    return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)
