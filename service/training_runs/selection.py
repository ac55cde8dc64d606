"""Which negatives a run takes from the pool."""

import random
from collections.abc import Callable

from sqlalchemy.orm import Session

from hardneg.schemas.training_runs import RetrainRequest, Strategy
from service.training_runs import store

Chosen = list[tuple[int, str]]  # image ids and digests

Choose = Callable[[Session, int, int | None, int, int], Chosen]


def _hard(session: Session, version_id: int, run_id: int | None, count: int, seed: int) -> Chosen:
    return store.hardest_unused(session, version_id, run_id, count)


def _random(session: Session, version_id: int, run_id: int | None, count: int, seed: int) -> Chosen:
    images = store.unused(session, run_id)
    return random.Random(seed).sample(images, min(count, len(images)))


def _none(session: Session, version_id: int, run_id: int | None, count: int, seed: int) -> Chosen:
    return []


STRATEGIES: dict[Strategy, Choose] = {
    Strategy.HARD: _hard,
    Strategy.RANDOM: _random,
    Strategy.NONE: _none,
}


def choose_negatives(
    session: Session,
    request: RetrainRequest,
    *,
    version_id: int,
    earlier_run_id: int | None,
    num_labelled: int,
    iteration: int,
) -> Chosen:
    """
    New negatives by the request's strategy; fewer where the pool has no more.

    Taken are only images of the pool, so none that is sealed, that no person has found an object
    on and that the start's own training list does not hold.
    """
    count = request.num_negatives
    if count is None:
        count = max(1, round(request.negative_fraction * num_labelled))
    choose = STRATEGIES[request.strategy]
    return choose(session, version_id, earlier_run_id, count, request.seed + iteration)
