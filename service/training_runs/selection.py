"""The choice of new negatives from the pool."""

import random
from collections.abc import Collection

from sqlalchemy.orm import Session

from hardneg.schemas.training_runs import FreezeRequest, Strategy
from service.training_runs import kept_aside, store
from service.training_runs.look_alikes import (
    NO_LOOK_ALIKES,
    LookAlikes,
    by_families,
    num_wanted,
    without_copies,
)

MAX_HELD_PER_MINED = 9


def choose_negatives(
    session: Session,
    request: FreezeRequest,
    *,
    version_id: int,
    parent_run_id: int | None,
    num_labelled: int,
    iteration: int,
    held: Collection[int] = (),
    look_alikes: LookAlikes = NO_LOOK_ALIKES,
    takes_partial: bool = False,
) -> list[tuple[int, str]]:
    """
    Choose new negatives by the request's strategy; fewer where the pool has no more.

    Only images of the pool are chosen, so no sealed ones, and none that a person has judged to
    contain an object, that the parent version was trained on, or that are held for review. The
    hardest come after those in which a person has found a false detection beside an object. Once a
    run tries recipes, a fifth of the pool is left out. Where nearly all candidates are held, the
    search for others ends after `MAX_HELD_PER_MINED` for each image that is wanted.

    Args:
        session: for reading.
        request: says how many, and how.
        version_id: the parent version, whose scores rank the pool.
        parent_run_id: the run that the parent version came from; None if it was uploaded.
        num_labelled: images of train, for a request that wants a fraction of them.
        iteration: the round, counted from 1; each round draws other random images.
        held: ids of images that look like true objects.
        look_alikes: families of the hardest images, for the strategy that takes them in turns, and
            near-duplicates, of which the first is chosen.
        takes_partial: whether images that hold an object and a box judged to hold none are chosen.

    Returns:
        Image ids and digests.
    """
    count = num_wanted(request, num_labelled)
    is_minable = kept_aside.is_minable(session, request)
    match request.strategy:
        case Strategy.HARD | Strategy.FAMILIES:
            families = look_alikes.families
            num_held = min(len(held), MAX_HELD_PER_MINED * count)
            limit = max(count, len(families)) + num_held + len(look_alikes.originals)
            hardest = store.hardest_unused(session, version_id, parent_run_id, limit, is_minable)
            images = by_families([image for image in hardest if image[0] not in held], families)
            if takes_partial:
                partial = store.partial_negatives(
                    session, version_id, parent_run_id, used=False, condition=is_minable
                )
                images = [*partial, *images]
        case Strategy.RANDOM:
            images = store.unused(session, parent_run_id, is_minable)
            random.Random(request.seed + iteration).shuffle(images)
            images = images[: (1 + MAX_HELD_PER_MINED) * count]
        case Strategy.NONE:
            return []
    free = [image for image in images if image[0] not in held]
    return without_copies(free, look_alikes.originals)[:count]
