"""The rules of retrain requests, and the training runs as clients see them."""

from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.jobs import JobOut
from hardneg.schemas.training_runs import (
    FreezeRequest,
    RetrainRequest,
    TrainingImageOut,
    TrainingImagePage,
    TrainingRunOut,
    TrainingRunPage,
)
from models.detectors import ARCHITECTURES, check_weights
from models.detectors.formats import is_trainable
from models.sampling import SamplerSpec, build_sampler
from service.errors import ServiceError
from service.jobs.service import enqueue
from service.labelled_images import store as labelled_store
from service.model_versions import service as version_service
from service.model_versions import store as version_store
from service.settings import Settings
from service.tables import ModelVersion, TrainingRun
from service.training_runs import frozen_lists, store
from service.training_runs.job import RETRAIN
from service.training_runs.kept_aside import MIN_IMAGES, count_kept, tries_recipes
from service.training_runs.memory import with_fitting_batches
from service.training_runs.parents import NotReadyToTrain, parent_version, require_known_classes


class TrainingRunNotFound(ServiceError):
    status = HTTPStatus.NOT_FOUND
    slug = "unknown-training-run"
    title = "Unknown training run"

    def __init__(self, run_id: int) -> None:
        super().__init__(f"there is no training run {run_id}")


class InvalidRetrainRequest(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-retrain-request"
    title = "Invalid retrain request"


class NotTrainable(ServiceError):
    status = HTTPStatus.CONFLICT
    slug = "not-trainable"
    title = "Not trainable here"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"version '{version}' was trained elsewhere and can only be trained there: freeze a "
            "list of images with POST /training-runs, take them to its trainer with GET "
            "/training-runs/{id}/export, and add the result with POST /model-versions and "
            "'training_run_id'"
        )


def queue_retraining(session: Session, settings: Settings, request: RetrainRequest) -> JobOut:
    """Queue the job of a checked request. Raises as `checked` does."""
    return enqueue(session, RETRAIN, checked(session, settings, request))


def checked(session: Session, settings: Settings, request: RetrainRequest) -> RetrainRequest:
    """
    Check a request as far as possible now, and return it with the parent version resolved.

    Raises ModelVersionNotFound, InvalidRetrainRequest, NotReadyToTrain, NotTrainable, NameTaken.
    """
    class_names = labelled_store.class_names_in(session, "train")
    if not class_names:
        raise NotReadyToTrain(
            "there is nothing to train on: first send images with boxes to POST /labelled-images, "
            "with split=train"
        )
    _check_sampler(request)
    if tries_recipes(request):
        _check_trials(session, request)
    if request.name is not None and version_store.find_by_name(session, request.name):
        raise version_service.NameTaken(request.name)
    if request.architecture is not None:
        if request.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise InvalidRetrainRequest(
                f"unknown architecture '{request.architecture}'; known are {known}"
            )
        _check_weights(request.architecture, request.weights)
        return _within_memory(settings, request, None)
    version = parent_version(session, request)
    if not is_trainable(version.checkpoint_key):
        raise NotTrainable(version.name)
    require_known_classes(version, class_names)
    fitting = _within_memory(settings, request, version)
    return fitting.model_copy(update={"start_from": str(version.id)})


def _within_memory(
    settings: Settings, request: RetrainRequest, parent: ModelVersion | None
) -> RetrainRequest:
    try:
        return with_fitting_batches(settings, request, parent)
    except ValueError as error:
        raise InvalidRetrainRequest(str(error)) from error


def _check_sampler(request: RetrainRequest) -> None:
    if request.sampler is not None:
        try:
            build_sampler(SamplerSpec(**request.sampler.model_dump()))
        except ValueError as error:
            raise InvalidRetrainRequest(str(error)) from error


def _check_trials(session: Session, request: RetrainRequest) -> None:
    if request.model_fields_set & {"negative_share", "negative_weight"}:
        raise InvalidRetrainRequest(
            "'recipe': 'auto' chooses 'negative_share' and 'negative_weight' itself: leave them out"
        )
    if request.architecture is not None:
        raise InvalidRetrainRequest(
            "'recipe': 'auto' compares with a parent version: leave out 'architecture'"
        )
    num_kept = count_kept(session)
    if num_kept < MIN_IMAGES or not labelled_store.class_names_in(session, "val"):
        raise NotReadyToTrain(
            f"recipes are compared on labelled images of val and on a fifth of the pool, of which "
            f"there must be at least {MIN_IMAGES} images, and there are {num_kept}: send about "
            f"{5 * MIN_IMAGES} images to POST /images, or more"
        )


def _check_weights(architecture: str, weights: str | None) -> None:
    if weights is not None:
        try:
            check_weights(architecture, weights)
        except ValueError as error:
            raise InvalidRetrainRequest(str(error)) from error


def freeze(session: Session, request: FreezeRequest) -> TrainingRunOut:
    """Freeze a list for a training elsewhere. Raises as `freeze_list` does."""
    return _shown(session, frozen_lists.freeze_list(session, request))


def list_runs(
    session: Session,
    *,
    job_id: int | None,
    model_version: str | None,
    before_id: int | None,
    limit: int,
) -> TrainingRunPage:
    """Return a page of runs, newest first. Raises ModelVersionNotFound."""
    version_id = None
    if model_version is not None:
        version_id = version_service.get_version(session, model_version).id
    runs = store.list_runs(
        session, job_id=job_id, version_id=version_id, before_id=before_id, limit=limit + 1
    )
    roles = store.count_roles(session, [run.id for run in runs])
    return TrainingRunPage(
        items=[_run_out(run, roles.get(run.id, {})) for run in runs[:limit]],
        next_before_id=runs[limit - 1].id if len(runs) > limit else None,
    )


def list_open_runs(session: Session, limit: int) -> list[TrainingRunOut]:
    """Return the newest lists that wait for the result of a training elsewhere."""
    runs = store.open_runs(session, limit)
    roles = store.count_roles(session, [run.id for run in runs])
    return [_run_out(run, roles.get(run.id, {})) for run in runs]


def show_run(session: Session, run_id: int) -> TrainingRunOut:
    """Return one run. Raises TrainingRunNotFound."""
    return _shown(session, get_run(session, run_id))


def list_run_images(
    session: Session, run_id: int, *, after_id: int, limit: int
) -> TrainingImagePage:
    """Return a page of a run's frozen list. Raises TrainingRunNotFound."""
    get_run(session, run_id)
    rows = store.list_run_images(session, run_id, after_id=after_id, limit=limit)
    return TrainingImagePage(
        items=[TrainingImageOut.model_validate(row, from_attributes=True) for row in rows],
        next_after_id=rows[-1].image_id if len(rows) == limit else None,
    )


def get_run(session: Session, run_id: int, *, locked: bool = False) -> TrainingRun:
    """Return a run's row, `locked` until the transaction ends. Raises TrainingRunNotFound."""
    run = store.find_run(session, run_id, locked=locked)
    if run is None:
        raise TrainingRunNotFound(run_id)
    return run


def _shown(session: Session, run: TrainingRun) -> TrainingRunOut:
    return _run_out(run, store.count_roles(session, [run.id]).get(run.id, {}))


def _run_out(run: TrainingRun, roles: dict[str, int]) -> TrainingRunOut:
    names = TrainingRunOut.model_fields.keys() - {"num_labelled", "num_kept", "num_mined"}
    return TrainingRunOut.model_validate(
        {name: getattr(run, name) for name in names}
        | {f"num_{role}": roles.get(role, 0) for role in ("labelled", "kept", "mined")}
    )
