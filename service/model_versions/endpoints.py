"""Model versions over HTTP."""

from http import HTTPStatus
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import StreamingResponse

from hardneg.schemas.model_versions import ModelVersionDetail, ModelVersionOut
from hardneg.schemas.text import PlainText
from service.errors import problem_responses
from service.model_versions import service
from service.roles import requires
from service.scoring.resources import ReadSessionDep, ResourcesDep
from service.serving.backlog import BacklogDep

router = APIRouter(prefix="/model-versions", tags=["model versions"])

VersionKey = Annotated[PlainText, Path(min_length=1, description="Id or name.", examples=["v1"])]
UNKNOWN_VERSION = problem_responses(HTTPStatus.NOT_FOUND)


@router.get("")
@requires("read")
def list_versions(session: ReadSessionDep) -> list[ModelVersionOut]:
    """List all model versions, newest first."""
    return service.list_versions(session)


@router.get("/{version}", responses=UNKNOWN_VERSION)
@requires("read")
def show_version(session: ReadSessionDep, version: VersionKey) -> ModelVersionDetail:
    """Show one model version and how much of the pool it has scored."""
    return service.show_version(session, version)


@router.post(
    "/{version}/activate",
    responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
@requires("admin")
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
@requires("train")
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
