"""Candidates that look like true objects, held back from a training list for review."""

from collections.abc import Collection, Sequence

from sqlalchemy.orm import Session

from hardneg.schemas.hold_test import Hold
from hardneg.schemas.training_runs import FreezeRequest, HeldImage, Holding, Strategy
from service.holding import store as hold_store
from service.holding.store import Decided
from service.holding.texts import held_of, held_text, trust_text
from service.training_runs import store
from service.training_runs.kept_aside import hardest_kept, tries_recipes
from service.training_runs.look_alikes import NO_LOOK_ALIKES, LookAlikes
from service.training_runs.retraining import Retraining
from service.training_runs.selection import choose_negatives


def examine_candidates(
    retraining: Retraining,
    iteration: int,
    parent_id: int,
    look_alikes: LookAlikes = NO_LOOK_ALIKES,
) -> Holding | None:
    """
    Test the images that a round would mine, and those that would take the place of held ones.

    Verdicts may have changed the test since earlier rounds, so what they mined is tested again;
    and the images that recipes are compared on are tested, too.

    Returns None if the request wants no test or mines nothing. Raises Stopped; region vectors that
    were computed before are stored.
    """
    if not _wants_test(retraining.request):
        return None
    from service.holding.testing import HoldTester  # loads scikit-learn

    job, name = retraining.job, f"round {iteration}"
    tester = HoldTester(job, retraining.resources, parent_id, f"{name}: testing candidates")
    trust = tester.rule.trust
    is_applied = trust.is_trusted and retraining.request.selection.hold is Hold.AUTO
    tested: dict[int, Decided | None] = {}  # None: a person has judged it, or nothing is detected
    while untested := _untested(
        retraining, iteration, parent_id, look_alikes, tested, is_applied=is_applied
    ):
        tested |= dict.fromkeys(untested)
        tested |= {image.image_id: image for image in tester.decide(untested)}
    with retraining.resources.read_sessions.begin() as session:
        trained_on = _trained_on(session, parent_id)
        compared_on = _compared_on(session, retraining.request, parent_id)
    again = tester.decide(trained_on)
    tested |= {image.image_id: image for image in (*again, *tester.decide(compared_on))}
    pool = [image for image in tested.values() if image is not None]
    sealed = tester.decide_sealed()
    tester.save()
    effect = "not mined, but held for review" if is_applied else "not kept from being mined"
    job.log(f"{name}: {held_text(pool)}" + (f"; they are {effect}" if held_of(pool) else ""))
    if held_of(again):
        effect = "no longer trained on" if is_applied else "still trained on"
        job.log(f"{name}: mined by earlier rounds: {held_text(again)}; they are {effect}")
    if held_of(sealed):
        job.log(f"{name}: sealed: {held_text(sealed)}")
    job.log(f"{name}: {trust_text(is_trusted=trust.is_trusted, reason=trust.reason)}")
    return _holding(pool, sealed, is_applied=is_applied, reason=trust.reason)


def stored_holding(session: Session, request: FreezeRequest, parent_id: int) -> Holding | None:
    """
    Return what the parent version's last hold test says; images that it did not test pass.

    Returns None if the request wants no test or mines nothing.
    """
    if not _wants_test(request):
        return None
    test = hold_store.find_test(session, parent_id)
    if test is None:
        reason = "the parent version's images were not tested: start a test with POST /hold-test"
        return Holding(is_applied=False, reason=reason, num_tested=0)
    return _holding(
        hold_store.decisions_in(session, parent_id, "pool"),
        hold_store.decisions_in(session, parent_id, "negative-test"),
        is_applied=test.is_trusted and request.selection.hold is Hold.AUTO,
        reason=test.reason,
    )


def held_ids(holding: Holding | None) -> Collection[int]:
    """Return the images that a training list must not hold."""
    if holding is None or not holding.is_applied:
        return ()
    return {image.image_id for image in holding.held}


def holding_json(holding: Holding | None) -> dict[str, object] | None:
    """Return a test as it is stored with its run."""
    return None if holding is None else holding.model_dump(mode="json")


def _wants_test(request: FreezeRequest) -> bool:
    mines = request.strategy is not Strategy.NONE and request.num_negatives != 0
    return mines and request.selection.hold is not Hold.OFF


def _untested(
    retraining: Retraining,
    iteration: int,
    parent_id: int,
    look_alikes: LookAlikes,
    tested: dict[int, Decided | None],
    *,
    is_applied: bool,
) -> list[int]:
    """Return those of the images that would be mined now that were not tested yet."""
    decided = [image for image in tested.values() if image is not None]
    held = {image.image_id for image in held_of(decided)} if is_applied else ()
    with retraining.resources.read_sessions.begin() as session:
        run = store.last_run_of_version(session, parent_id)
        chosen = choose_negatives(
            session,
            retraining.request,
            version_id=parent_id,
            parent_run_id=run.id if run else None,
            num_labelled=store.count_labelled(session),
            iteration=iteration,
            held=held,
            look_alikes=look_alikes,
        )
    return [image_id for image_id, _ in chosen if image_id not in tested]


def _trained_on(session: Session, parent_id: int) -> list[int]:
    """Return the negatives of the list that the parent version was trained on."""
    run = store.last_run_of_version(session, parent_id)
    kept = [] if run is None else store.kept_negatives(session, run.id)
    return [image_id for image_id, _ in kept]


def _compared_on(session: Session, request: FreezeRequest, parent_id: int) -> Sequence[int]:
    return hardest_kept(session, parent_id) if tries_recipes(request) else ()


def _holding(
    pool: Sequence[Decided], sealed: Sequence[Decided], *, is_applied: bool, reason: str
) -> Holding:
    return Holding(
        is_applied=is_applied,
        reason=reason,
        num_tested=len(pool),
        held=_held_images(pool),
        suspicious_sealed=_held_images(sealed),
    )


def _held_images(decided: Sequence[Decided]) -> list[HeldImage]:
    return [
        HeldImage(image_id=image.image_id, decision=image.decision) for image in held_of(decided)
    ]
