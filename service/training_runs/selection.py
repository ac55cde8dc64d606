"""The choice of new negatives from the pool."""

import random
from collections.abc import Collection

from sqlalchemy.orm import Session

from hardneg.schemas.training_runs import FreezeRequest, Strategy
from service.training_runs import store


def choose_negatives(
    session: Session,
    request: FreezeRequest,
    *,
    version_id: int,
    parent_run_id: int | None,
    num_labelled: int,
    iteration: int,
    held: Collection[int] = (),
    takes_partial: bool = False,
) -> list[tuple[int, str]]:
    """
    Choose new negatives by the request's strategy; fewer where the pool has no more.

    Only images of the pool are chosen, so no sealed ones, and none that a person has judged to
    contain an object, that the parent version was trained on, or that are held for review. The
    hardest come after those in which a person has found a false detection beside an object.

    Args:
        session: for reading.
        request: says how many, and how.
        version_id: the parent version, whose scores rank the pool.
        parent_run_id: the run that the parent version came from; None if it was uploaded.
        num_labelled: images of train, for a request that wants a fraction of them.
        iteration: the round, counted from 1; each round draws other random images.
        held: ids of images that look like true objects.
        takes_partial: whether images that hold an object and a box judged to hold none are chosen.

    Returns:
        Image ids and digests.
    """
    count = request.num_negatives
    if count is None:
        count = max(1, round(request.negative_fraction * num_labelled))
    match request.strategy:
        case Strategy.HARD:
            images = store.hardest_unused(session, version_id, parent_run_id, count + len(held))
            if takes_partial:
                images = [
                    *store.partial_negatives(session, version_id, parent_run_id, used=False),
                    *images,
                ]
        case Strategy.RANDOM:
            images = store.unused(session, parent_run_id)
            random.Random(request.seed + iteration).shuffle(images)
        case Strategy.NONE:
            return []
    return [image for image in images if image[0] not in held][:count]
