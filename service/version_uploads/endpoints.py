"""Uploads of model versions over HTTP."""

import shutil
from http import HTTPStatus
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Response, UploadFile
from pydantic import StringConstraints

from hardneg.schemas.model_versions import AddedVersion, InspectedDetector
from hardneg.schemas.text import PlainText
from models.detectors.foreign.inspection import SpecOverrides
from service.errors import problem_responses
from service.model_versions import foreign
from service.roles import requires
from service.scoring.resources import ResourcesDep
from service.version_uploads import service
from service.version_uploads.onnx_form import spec_overrides

MAX_ID = 2**63 - 1
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]*$", max_length=100)]


def add_route(max_body_size: int) -> APIRouter:
    """Return a router for the upload alone: a checkpoint may be larger than other bodies."""
    upload = APIRouter(prefix="/model-versions", tags=["model versions"])
    upload.add_api_route(
        "",
        add_version,
        methods=["POST"],
        status_code=HTTPStatus.CREATED,
        response_model=AddedVersion,
        max_body_size=max_body_size,
        responses={
            200: {"model": AddedVersion, "description": "The same checkpoint was added before"},
            **problem_responses(
                HTTPStatus.BAD_REQUEST,
                HTTPStatus.NOT_FOUND,
                HTTPStatus.CONFLICT,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
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


@requires("admin")
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
    training_run_id: Annotated[
        int | None,
        Form(ge=1, le=MAX_ID, description="The training run on whose frozen list it was trained."),
    ] = None,
) -> AddedVersion:
    """
    Add a model version from a checkpoint, or from an architecture and named weights.

    With `training_run_id` it is the result of a training elsewhere: a job scores the pool with it,
    measures it, and promotes or refuses it, as at the end of a retraining. Without a run it is
    measured on val, if that has boxes.
    """
    with TemporaryDirectory(prefix="hardneg-") as folder:
        upload = service.VersionUpload(
            folder=FilePath(folder),
            path=None if checkpoint is None else _keep(checkpoint, FilePath(folder)),
            overrides=overrides,
            architecture=architecture,
            weights=weights,
            name=name,
        )
        version, is_new = service.add_version(resources, upload, training_run_id)
    response.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    response.headers["Location"] = f"/model-versions/{version.id}"
    return version


@requires("admin")
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
