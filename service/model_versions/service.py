"""The rules of model versions: which checkpoints are valid, and which version is meant."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hardneg.schemas.model_versions import ModelVersionDetail, ModelVersionOut, ScreenMarginOut
from models.detectors import ARCHITECTURES, Detector, build
from models.detectors.checkpoint import CheckpointError, save_checkpoint
from models.detectors.foreign.file import is_onnx
from models.detectors.foreign.inspection import SpecOverrides
from models.detectors.formats import CheckpointFormat, format_of
from models.detectors.scoring import ScoringDetector
from models.inference.proof import prove, prove_finite
from service.audit.store import record
from service.blobs import BlobStore, file_sha256, new_key
from service.db import Sessions
from service.errors import ServiceError
from service.model_versions import foreign, store
from service.scoring import store as score_store
from service.scoring.margins import list_screen_margins
from service.scoring.screen import margin_of
from service.serving import store as serving_store
from service.serving.backlog import Backlog
from service.serving.service import require_serving_version
from service.tables import ModelVersion, ScreenMargin, VersionEvaluation
from service.text import without_folders

MAX_ID = 2**63 - 1


class ModelVersionNotFound(ServiceError):
    """No version has the requested id or name."""

    status = HTTPStatus.NOT_FOUND
    slug = "unknown-model-version"
    title = "Unknown model version"

    def __init__(self, key: str | int) -> None:
        super().__init__(f"there is no model version '{key}': GET /model-versions lists them")


class NameTaken(ServiceError):
    """Another version has the requested name."""

    status = HTTPStatus.CONFLICT
    slug = "name-taken"
    title = "Name is taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"another model version is called '{name}': choose another name")


class InvalidCheckpoint(ServiceError):
    """A file is not a checkpoint, or its detector does not run."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-checkpoint"
    title = "Invalid checkpoint"


class ClassNamesDiffer(ServiceError):
    """A version has other classes than its parent, so the two cannot be compared."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "class-names-differ"
    title = "Class names differ"

    def __init__(self, class_names: Sequence[str], parent: ModelVersion) -> None:
        super().__init__(
            f"the file's classes are {_quoted(class_names)}, those of its parent version "
            f"'{parent.name}' are {_quoted(parent.class_names)}: they must be the same, in the "
            "same order"
        )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


class VersionNotLoadable(ServiceError):
    """A version's stored checkpoint is missing or damaged."""

    status = HTTPStatus.CONFLICT
    slug = "version-not-loadable"
    title = "Model version can't be loaded"

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(
            f"the stored checkpoint of '{name}' does not load ({without_folders(str(error))}): "
            "restore it, or add it "
            "again with POST /model-versions"
        )


class InvalidModelRequest(ServiceError):
    """A request does not say which version to add, or names what there is not."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-model-request"
    title = "Invalid model request"


def get_version(session: Session, key: str) -> ModelVersion:
    """Return a version by id if the key is a number, else by name. Raises ModelVersionNotFound."""
    if key.isascii() and key.isdigit():
        version = store.find_version(session, int(key)) if int(key) <= MAX_ID else None
    else:
        version = store.find_by_name(session, key)
    if version is None:
        raise ModelVersionNotFound(key)
    return version


def named_or_serving(session: Session, key: str | None) -> ModelVersion:
    """
    Return the version with this id or name, or the serving version if `key` is None.

    Raises ModelVersionNotFound, NoServingVersion.
    """
    return require_serving_version(session) if key is None else get_version(session, key)


def list_versions(session: Session) -> list[ModelVersionOut]:
    """Return all versions, newest first."""
    serving = serving_store.serving_version(session)
    return [_version_out(version, serving) for version in store.list_versions(session)]


def show_version(session: Session, key: str) -> ModelVersionDetail:
    """Return one version and its progress through the pool. Raises ModelVersionNotFound."""
    version = get_version(session, key)
    shown = _version_out(version, serving_store.serving_version(session))
    return ModelVersionDetail(
        **dict(shown),
        pool_images=score_store.count_images(session, "pool"),
        scored_images=score_store.count_scored(session, version.id, "pool"),
        screen_margins=[_margin_out(error) for error in list_screen_margins(session, version.id)],
        **_measured(store.find_evaluation(session, version.id)),
    )


def _measured(evaluation: VersionEvaluation | None) -> dict[str, Any]:
    names = ("figures", "evaluated_at", "preprocessing_warning")
    return {name: evaluation and getattr(evaluation, name) for name in names}


def _margin_out(error: ScreenMargin) -> ScreenMarginOut:
    margin = margin_of(error.num_images, error.largest_error)
    return ScreenMarginOut(
        computed_by=error.computed_by,
        num_images=error.num_images,
        largest_error=error.largest_error,
        margin=margin if math.isfinite(margin) else None,
        measured_at=error.measured_at,
    )


def checkpoint_content(
    session: Session, blobs: BlobStore, key: str
) -> tuple[ModelVersion, Iterator[bytes]]:
    """Return a version and its checkpoint. Raises ModelVersionNotFound, VersionNotLoadable."""
    version = get_version(session, key)
    try:
        return version, blobs.stream(version.checkpoint_key)
    except FileNotFoundError as error:
        raise VersionNotLoadable(version.name, error) from error


def activate(sessions: Sessions, backlog: Backlog, key: str) -> ModelVersionDetail:
    """
    Serve a version from now on, and score the pool with it.

    Raises:
        ModelVersionNotFound: no version has this id or name.
        VersionNotLoadable: the checkpoint is missing or damaged; the old version still serves.
    """
    with sessions.begin() as session:
        version = get_version(session, key)
    try:
        backlog.activate(version)
    except (ValueError, FileNotFoundError) as error:
        raise VersionNotLoadable(version.name, error) from error
    with sessions.begin() as session:
        return show_version(session, str(version.id))


def register_architecture(
    sessions: Sessions,
    blobs: BlobStore,
    folder: Path,
    *,
    architecture: str,
    weights: str | None,
    class_names: tuple[str, ...],
    name: str | None,
) -> tuple[ModelVersionOut, bool]:
    """Build a detector by name, and add it. Raises InvalidModelRequest, NameTaken."""
    if architecture not in ARCHITECTURES:
        raise InvalidModelRequest(
            f"unknown architecture '{architecture}': use one of {', '.join(ARCHITECTURES)}"
        )
    try:
        detector = build(architecture, class_names, weights=weights)
    except ValueError as error:
        raise InvalidModelRequest(str(error)) from error
    path = folder / "built.safetensors"
    save_checkpoint(detector, path)
    return register_checkpoint(sessions, blobs, path, name=name)


def checkpoint_file(path: Path, overrides: SpecOverrides, like: ModelVersion | None = None) -> Path:
    """
    Return the checkpoint that an uploaded file becomes, of any format, beside that file.

    `overrides` belong to an ONNX file; `like` is its parent version, which tells what neither file
    nor overrides do. Raises InvalidModelRequest, NotADetector and its children.
    """
    if not is_onnx(path):
        if overrides != SpecOverrides():
            raise InvalidModelRequest(
                "only an ONNX file takes a preset, class names and the like: a checkpoint of this "
                "service has its own"
            )
        return path
    target = path.with_suffix(".onnx")
    foreign.write_with_spec(path, foreign.completed(path, overrides, like), target)
    return target


def register_checkpoint(
    sessions: Sessions,
    blobs: BlobStore,
    path: Path,
    *,
    name: str | None = None,
    parent_id: int | None = None,
) -> tuple[ModelVersionOut, bool]:
    """
    Add a version for a checkpoint after a trial run, and return it and whether it is new.

    The same bytes are the same version.

    Raises:
        InvalidCheckpoint: the file is not a checkpoint, or its detector does not run.
        ClassNamesDiffer: its classes are not those of the parent version.
        NameTaken: another version has the name.
    """
    checkpoint_format, detector = _prove(path)
    if parent_id is not None:
        with sessions.begin() as session:
            _require_classes_of(get_version(session, str(parent_id)), detector)
    with path.open("rb") as file:
        digest = file_sha256(file)
    with sessions.begin() as session:
        known = store.find_by_digest(session, digest)
        serving = serving_store.serving_version(session)
    if known is not None:
        _put_again_if_absent(blobs, known.checkpoint_key, path)
        return _version_out(known, serving), False
    key = new_key("checkpoints", digest, checkpoint_format.suffix)
    with path.open("rb") as file:
        blobs.put(key, file)
    version = ModelVersion(
        name=name or digest,
        architecture=detector.spec.architecture,
        class_names=list(detector.spec.class_names),
        spec=asdict(detector.spec),  # type: ignore[call-overload]  # every format's is a dataclass
        checkpoint_sha256=digest,
        checkpoint_key=key,
        checkpoint_size_bytes=path.stat().st_size,
        parent_id=parent_id,
    )
    try:
        with sessions.begin() as session:
            store.add_version(session, version)
            version.name = name or _free_name(session, version)
            added = {"name": version.name, "checkpoint_sha256": digest, "parent_id": parent_id}
            record(session, "add-version", f"model version {version.id}", after=added)
    except IntegrityError as error:
        blobs.delete(key)
        with sessions.begin() as session:
            known = store.find_by_digest(session, digest)  # another request added it meanwhile
        if known is not None:
            return _version_out(known, serving), False
        raise NameTaken(name or digest) from error
    return _version_out(version, serving), True


def _put_again_if_absent(blobs: BlobStore, key: str, path: Path) -> None:
    """Restore the checkpoint of a known version from the same bytes."""
    if not blobs.exists(key):
        with path.open("rb") as file:
            blobs.put(key, file)


def _require_classes_of(parent: ModelVersion, detector: ScoringDetector) -> None:
    if list(detector.spec.class_names) != parent.class_names:
        raise ClassNamesDiffer(detector.spec.class_names, parent)


def _prove(path: Path) -> tuple[CheckpointFormat, ScoringDetector]:
    try:
        checkpoint_format = format_of(path)
        detector = checkpoint_format.load(path, device="cpu", num_threads=1)
    except CheckpointError as error:
        raise InvalidCheckpoint(without_folders(str(error))) from error
    try:
        if isinstance(detector, Detector):
            prove(detector)
        else:
            prove_finite(detector)
    except (RuntimeError, ValueError) as error:
        reason = without_folders(str(error))
        raise InvalidCheckpoint(f"the detector fails on a test image: {reason}") from error
    return checkpoint_format, detector


def _free_name(session: Session, version: ModelVersion) -> str:
    name = f"v{version.id}"
    if store.find_by_name(session, name) is None:
        return name
    return f"{name}-{version.checkpoint_sha256[:7]}"


def _version_out(version: ModelVersion, serving: ModelVersion | None) -> ModelVersionOut:
    names = ModelVersionOut.model_fields.keys() - {"is_serving"}
    is_serving = serving is not None and serving.id == version.id
    return ModelVersionOut.model_validate(
        {name: getattr(version, name) for name in names} | {"is_serving": is_serving}
    )
