"""The training list of a run: chosen and frozen before the training begins."""

from collections.abc import Collection, Mapping

from sqlalchemy.orm import Session

from hardneg.schemas.recipes import RecipeTrials
from hardneg.schemas.training_runs import FreezeRequest, Holding, RetrainRequest, Strategy
from service.labelled_images import store as labelled_store
from service.tables import TrainingRun
from service.training_runs import kept_aside, store
from service.training_runs.holding import held_ids, holding_json
from service.training_runs.look_alikes import NO_LOOK_ALIKES, LookAlikes
from service.training_runs.partial_negatives import frozen_boxes
from service.training_runs.retraining import Retraining
from service.training_runs.selection import choose_negatives


def freeze_training_list(
    retraining: Retraining,
    iteration: int,
    parent_id: int | None,
    holding: Holding | None,
    look_alikes: LookAlikes = NO_LOOK_ALIKES,
) -> TrainingRun | None:
    """
    Add the run of a round, with its training list and the test that its candidates went through.

    Returns None where a later round finds no new negatives: it would only repeat the one before.
    """
    job, request = retraining.job, retraining.request
    with job.transaction() as session:
        images = choose_images(
            session,
            request,
            iteration,
            parent_id,
            held_ids(holding),
            look_alikes,
            takes_partial=True,
        )
        if iteration > 1 and request.strategy is not Strategy.NONE and not images["mined"]:
            return None
        run = TrainingRun(
            job_id=job.id,
            iteration=iteration,
            parent_version_id=parent_id,
            params=request.model_dump(mode="json"),
            holding=holding_json(holding),
            recipes=_trials(session, request, parent_id),
            history=[],
        )
        store.add_run(session, run, images, _boxes(session, images, parent_id))
        counts = ", ".join(
            f"{len(found)} {role}" for role, found in sorted(images.items()) if found
        )
        job.log_in(session, f"round {iteration} trains on {counts} images", {"run_id": run.id})
    return run


def choose_images(
    session: Session,
    request: FreezeRequest,
    iteration: int,
    parent_id: int | None,
    held: Collection[int] = (),
    look_alikes: LookAlikes = NO_LOOK_ALIKES,
    *,
    takes_partial: bool = False,
) -> store.ImagesByRole:
    """
    Return the images that a round trains on.

    These are all images of train (`labelled`), the negatives that the parent version was trained
    on (`kept`), and new ones from the pool (`mined`), both without those that are `held`. With
    `takes_partial`, images that hold an object and a box judged to hold none are among them.
    """
    labelled = labelled_store.digests_in(session, "train")
    if parent_id is None:
        return {"labelled": labelled, "kept": [], "mined": []}
    parent_run = store.last_run_of_version(session, parent_id)
    parent_run_id = parent_run.id if parent_run else None
    mined = choose_negatives(
        session,
        request,
        version_id=parent_id,
        parent_run_id=parent_run_id,
        num_labelled=len(labelled),
        iteration=iteration,
        held=held,
        look_alikes=look_alikes,
        takes_partial=takes_partial,
    )
    kept = [] if parent_run_id is None else store.kept_negatives(session, parent_run_id)
    kept = [image for image in kept if image[0] not in held]
    if takes_partial and parent_run_id is not None:
        kept += store.partial_negatives(session, parent_id, parent_run_id, used=True)
    return {"labelled": labelled, "kept": kept, "mined": mined}


def _trials(
    session: Session, request: RetrainRequest, parent_id: int | None
) -> dict[str, object] | None:
    """Return the report of the recipes that a run will try, None for one that tries none."""
    if parent_id is None or not kept_aside.tries_recipes(request):
        return None
    image_ids = kept_aside.images_to_compare_on(session, parent_id)
    if len(image_ids) < kept_aside.MIN_IMAGES:
        raise ValueError(
            f"recipes cannot be compared on {len(image_ids)} images: of the fifth of the pool that "
            f"is kept for it, at least {kept_aside.MIN_IMAGES} images must be neither trained on "
            "nor held"
        )
    return RecipeTrials(image_ids=image_ids, recipes=[]).model_dump(mode="json")


def _boxes(
    session: Session, images: store.ImagesByRole, parent_id: int | None
) -> Mapping[int, store.FrozenBoxes]:
    if parent_id is None:
        return {}
    negatives = [image_id for image_id, _ in (*images["kept"], *images["mined"])]
    return frozen_boxes(session, parent_id, negatives)
