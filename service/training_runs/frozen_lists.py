"""Lists that are frozen for a training elsewhere, and the versions that come back from it."""

from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.training_runs import FreezeRequest, Strategy
from service.audit.store import record
from service.errors import ServiceError
from service.jobs import service as job_service
from service.labelled_images import store as labelled_store
from service.model_versions import service as version_service
from service.model_versions import store as version_store
from service.scoring import store as score_store
from service.scoring.splits import RANKED_SPLIT
from service.tables import ModelVersion, TrainingRun
from service.training_runs import store
from service.training_runs.freezing import choose_images
from service.training_runs.holding import held_ids, holding_json, stored_holding
from service.training_runs.job import RETRAIN
from service.training_runs.look_alikes import stored_look_alikes
from service.training_runs.parents import NotReadyToTrain, parent_version, require_known_classes


class InvalidFreezeRequest(ServiceError):
    """A request for a frozen list does not say enough."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-freeze-request"
    title = "Invalid freeze request"


class PoolNotScored(ServiceError):
    """The parent version has not scored the pool, so there is no ranking to mine by."""

    status = HTTPStatus.CONFLICT
    slug = "pool-not-scored"
    title = "Pool is not scored"

    def __init__(self, version: str, counts: score_store.ScoredCounts) -> None:
        super().__init__(
            f"version '{version}' has scored {counts.scored} of the pool's {counts.images} images: "
            "activate it if it does not serve, and wait until it has scored all"
        )


class RunHasVersion(ServiceError):
    """A run has its version already, from this service's training or from elsewhere."""

    status = HTTPStatus.CONFLICT
    slug = "run-has-version"
    title = "Training run has its version"


class NotTheRunsResult(ServiceError):
    """A file is known already as a version that cannot come from a run."""

    status = HTTPStatus.CONFLICT
    slug = "not-the-result"
    title = "Not the result of this run"


def freeze_list(session: Session, request: FreezeRequest) -> TrainingRun:
    """
    Freeze the images of a training that happens elsewhere, chosen as a retraining chooses them.

    Raises ModelVersionNotFound, NotReadyToTrain, PoolNotScored, FamiliesMissing,
    InvalidFreezeRequest.
    """
    parent = parent_version(session, request)
    class_names = labelled_store.class_names_in(session, "train")
    require_known_classes(parent, class_names)
    if request.num_negatives is None and not class_names:
        raise InvalidFreezeRequest(
            "without labelled images there is nothing that 'negative_fraction' could be a fraction "
            "of: say 'num_negatives', or send images with boxes to POST /labelled-images"
        )
    if request.strategy in (Strategy.HARD, Strategy.FAMILIES):
        _require_scored_pool(session, parent)
    holding = stored_holding(session, request, parent.id)
    look_alikes = stored_look_alikes(session, request, parent, store.count_labelled(session))
    images = choose_images(session, request, 1, parent.id, held_ids(holding), look_alikes)
    if not images["mined"] and request.strategy is not Strategy.NONE and request.num_negatives != 0:
        raise NotReadyToTrain(
            f"the pool has no negative image that version '{parent.name}' was not trained on: send "
            "more to POST /images"
        )
    run = TrainingRun(
        iteration=1,
        parent_version_id=parent.id,
        params=request.model_copy(update={"start_from": str(parent.id)}).model_dump(mode="json"),
        holding=holding_json(holding),
        history=[],
    )
    store.add_run(session, run, images)
    record(session, "freeze-list", f"training run {run.id}", after=run.params)
    return run


def _require_scored_pool(session: Session, parent: ModelVersion) -> None:
    counts = score_store.scored_counts(session, parent.id, RANKED_SPLIT)
    if counts.scored < counts.images:
        raise PoolNotScored(parent.name, counts)


def require_frozen_for_others(session: Session, run: TrainingRun) -> None:
    """Raise RunHasVersion for a run that a job of this service trains or has trained."""
    if run.job_id is not None and job_service.get_job(session, run.job_id).kind == RETRAIN.name:
        raise RunHasVersion(
            f"training run {run.id} belongs to job {run.job_id}, which trains here: freeze a list "
            "for a training elsewhere with POST /training-runs"
        )


def require_result(session: Session, run: TrainingRun, known: ModelVersion | None) -> None:
    """
    Require that a file can be the result of a run.

    Args:
        session: for reading.
        run: frozen for a training elsewhere.
        known: the version that the file is already; None for a new file.

    Raises:
        RunHasVersion: the run has another version.
        NotTheRunsResult: the file was there before the training, or came from another one.
    """
    if run.model_version_id is not None:
        if known is None or known.id != run.model_version_id:
            name = version_service.get_version(session, str(run.model_version_id)).name
            raise RunHasVersion(
                f"version '{name}' came from training run {run.id} already: freeze another list "
                "with POST /training-runs for another training"
            )
        return
    assert run.parent_version_id is not None  # every list that is frozen for others has a parent
    if known is not None and (known.parent_id is not None or known.id <= run.parent_version_id):
        raise NotTheRunsResult(
            f"the file is version '{known.name}', which does not come from training run {run.id}: "
            "send the file that was trained on the run's images"
        )


def save_result(session: Session, run: TrainingRun, version_id: int, job_id: int) -> None:
    """Make a version the result of a run, measured by a job. The caller has locked the run."""
    version = version_store.find_version(session, version_id)
    assert version is not None  # versions are never deleted
    version.parent_id = run.parent_version_id
    run.model_version_id = version_id
    run.job_id = job_id
