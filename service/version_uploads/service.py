"""The rules of added versions: whose result they are, and which job measures them."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from hardneg.schemas.jobs import JobOut, JobStatus
from hardneg.schemas.model_versions import AddedVersion, ModelVersionOut
from models.detectors.foreign.inspection import SpecOverrides
from service.blobs import file_sha256
from service.jobs import service as job_service
from service.labelled_images import store as labelled_store
from service.model_versions import service as version_service
from service.model_versions import store as version_store
from service.model_versions.service import InvalidModelRequest
from service.scoring.resources import Resources
from service.tables import ModelVersion, TrainingRun
from service.training_runs import service as run_service
from service.training_runs.frozen_lists import (
    require_frozen_for_others,
    require_result,
    save_result,
)
from service.version_uploads.job import MEASURE, MeasureParams


@dataclass(frozen=True, slots=True)
class VersionUpload:
    """
    A version to add.

    Attributes:
        folder: for files that are needed meanwhile.
        path: the uploaded file, in the folder; None for an architecture.
        overrides: what an ONNX file does not say itself; the class names also of an architecture.
        architecture, weights: names, without a file.
        name: of the version, if one is wanted.
    """

    folder: Path
    path: Path | None
    overrides: SpecOverrides
    architecture: str | None
    weights: str | None
    name: str | None


def add_version(
    resources: Resources, upload: VersionUpload, run_id: int | None
) -> tuple[AddedVersion, bool]:
    """
    Add a version, queue the job that measures it, and return it and whether it is new.

    Raises:
        InvalidModelRequest: not exactly one of file and architecture is given.
        TrainingRunNotFound, RunHasVersion, NotTheRunsResult: see `require_result`.
        NameTaken, InvalidCheckpoint, NotADetector and its children.
    """
    if (upload.path is None) == (upload.architecture is None):
        raise InvalidModelRequest("send a 'checkpoint' file or an 'architecture', and not both")
    if run_id is not None:
        return _add_result(resources, upload, run_id)
    if upload.path is None:
        version, is_new = _add_architecture(resources, upload)
    else:
        checkpoint = version_service.checkpoint_file(upload.path, upload.overrides)
        version, is_new = version_service.register_checkpoint(
            resources.sessions, resources.blobs, checkpoint, name=upload.name
        )
    with resources.sessions.begin() as session:
        return AddedVersion(**dict(version), job=_measure_if_unmeasured(session, version)), is_new


def _add_architecture(resources: Resources, upload: VersionUpload) -> tuple[ModelVersionOut, bool]:
    assert upload.architecture is not None
    return version_service.register_architecture(
        resources.sessions,
        resources.blobs,
        upload.folder,
        architecture=upload.architecture,
        weights=upload.weights,
        class_names=upload.overrides.class_names or (),
        name=upload.name,
    )


def _measure_if_unmeasured(session: Session, version: ModelVersionOut) -> JobOut | None:
    """Queue the measuring of a version without figures if val has objects."""
    if version_store.find_evaluation(session, version.id):
        return None
    if not labelled_store.class_names_in(session, "val"):
        return None
    return job_service.enqueue(
        session, MEASURE, MeasureParams(model_version_id=version.id, run_id=None)
    )


def _add_result(
    resources: Resources, upload: VersionUpload, run_id: int
) -> tuple[AddedVersion, bool]:
    if upload.path is None:
        raise InvalidModelRequest("the result of a training run is a file: send a 'checkpoint'")
    parent = _parent_of_open_run(resources, run_id)
    checkpoint = version_service.checkpoint_file(upload.path, upload.overrides, like=parent)
    with checkpoint.open("rb") as file:
        digest = file_sha256(file)
    with resources.read_sessions.begin() as session:
        known = version_store.find_by_digest(session, digest)
        require_result(session, run_service.get_run(session, run_id), known)
    version, is_new = version_service.register_checkpoint(
        resources.sessions, resources.blobs, checkpoint, name=upload.name, parent_id=parent.id
    )
    with resources.sessions.begin() as session:
        run = run_service.get_run(session, run_id, locked=True)
        require_result(session, run, None if is_new else _row(session, version))
        job = _measure_result(session, run, version.id)
        shown = version_service.show_version(session, str(version.id))
    fields = {name: getattr(shown, name) for name in ModelVersionOut.model_fields}
    return AddedVersion(**fields, job=job), is_new


def _parent_of_open_run(resources: Resources, run_id: int) -> ModelVersion:
    with resources.read_sessions.begin() as session:
        run = run_service.get_run(session, run_id)
        require_frozen_for_others(session, run)
        return version_service.get_version(session, str(run.parent_version_id))


def _row(session: Session, version: ModelVersionOut) -> ModelVersion:
    return version_service.get_version(session, str(version.id))


def _measure_result(session: Session, run: TrainingRun, version_id: int) -> JobOut:
    """Return the job that judges a run's result: the one under way, or else a new one."""
    if run.job_id is not None:
        job = job_service.show_job(session, run.job_id)
        if job.status not in (JobStatus.FAILED, JobStatus.CANCELLED):
            return JobOut(**{name: getattr(job, name) for name in JobOut.model_fields})
    queued = job_service.enqueue(
        session, MEASURE, MeasureParams(model_version_id=version_id, run_id=run.id)
    )
    save_result(session, run, version_id, queued.id)
    return queued
