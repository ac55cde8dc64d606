"""The preview of a retrain request: its first round, as it would be now."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from hardneg.schemas.hard_negatives import Coverage
from hardneg.schemas.training_runs import PreviewedImage, RetrainPreview, RetrainRequest
from models.training.batches import plan_batches
from service.images import store as image_store
from service.images.views import detections_by_image, image_out
from service.labelled_images import store as labelled_store
from service.model_versions import store as version_store
from service.scoring import store as score_store
from service.scoring.splits import RANKED_SPLIT
from service.settings import Settings
from service.tables import ModelVersion
from service.training_runs import store
from service.training_runs.estimating import estimate_round
from service.training_runs.freezing import choose_images
from service.training_runs.holding import held_ids, stored_holding
from service.training_runs.kept_aside import tries_recipes
from service.training_runs.look_alikes import NO_LOOK_ALIKES, stored_look_alikes
from service.training_runs.recipes import STEPS_OF_A_TRIAL
from service.training_runs.service import InvalidRetrainRequest, checked
from service.training_runs.training_inputs import training_config


def preview_retraining(
    session: Session, settings: Settings, request: RetrainRequest, num_shown: int
) -> RetrainPreview:
    """
    Return the first round of a request, as it would be now.

    Held images are those of the parent version's last hold test, and families those of its last
    grouping; the round tests and groups again.

    Raises:
        FamiliesMissing: the request mines by families, and there was no grouping yet.
        ModelVersionNotFound, InvalidRetrainRequest, NotReadyToTrain, NotTrainable, NameTaken.
    """
    request = checked(session, settings, request)
    parent = _parent(session, request)
    parent_id = parent.id if parent else None
    held = held_ids(stored_holding(session, request, parent_id)) if parent_id else ()
    num_labelled = store.count_labelled(session)
    families = (
        stored_look_alikes(session, request, parent, num_labelled) if parent else NO_LOOK_ALIKES
    )
    images = choose_images(session, request, 1, parent_id, held, families, takes_partial=True)
    config = training_config(request, is_fresh=parent is None)
    num_negatives = len(images["kept"]) + len(images["mined"])
    try:
        plan = plan_batches(
            len(images["labelled"]),
            num_negatives,
            batch_size=config.batch_size,
            negative_share=config.negative_share,
            seed=config.seed,
        )
    except ValueError as error:
        raise InvalidRetrainRequest(str(error)) from error
    steps_per_epoch = config.steps_per_epoch or plan.steps_per_pass
    architecture = parent.architecture if parent else str(request.architecture)
    num_steps = config.epochs * steps_per_epoch
    if tries_recipes(request):
        num_steps = round(num_steps * STEPS_OF_A_TRIAL)
    return RetrainPreview(
        parent_version=parent.name if parent else None,
        architecture=architecture,
        class_names=(
            parent.class_names if parent else labelled_store.class_names_in(session, "train")
        ),
        pool=_coverage(session, parent),
        num_labelled=len(images["labelled"]),
        num_kept=len(images["kept"]),
        num_mined=len(images["mined"]),
        num_held=len(held),
        num_val=score_store.count_images(session, "val"),
        num_sealed=score_store.count_images(session, "negative-test"),
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        negatives_per_batch=plan.num_negatives_per_batch,
        steps_per_epoch=steps_per_epoch,
        num_steps=num_steps,
        estimated_s=estimate_round(session, architecture, num_steps * config.batch_size),
        mined=_shown(session, parent, [image_id for image_id, _ in images["mined"][:num_shown]]),
    )


def _parent(session: Session, request: RetrainRequest) -> ModelVersion | None:
    if request.start_from is None:
        return None
    return version_store.find_version(session, int(request.start_from))


def _coverage(session: Session, version: ModelVersion | None) -> Coverage | None:
    if version is None:
        return None
    return Coverage(**score_store.scored_counts(session, version.id, RANKED_SPLIT)._asdict())


def _shown(
    session: Session, version: ModelVersion | None, image_ids: Sequence[int]
) -> list[PreviewedImage]:
    if version is None:
        return []
    images = image_store.find_by_ids(session, image_ids)
    scores = score_store.find_scores(session, version.id, image_ids)
    found = score_store.boxes_on(session, version.id, image_ids)
    detections = detections_by_image(found, version.class_names)
    return [
        PreviewedImage(
            max_score=scores[image_id].max_score if image_id in scores else None,
            detections=detections[image_id],
            image=image_out(images[image_id]),
        )
        for image_id in image_ids
    ]
