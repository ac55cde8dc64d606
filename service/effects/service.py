"""The effect of a training run on false detections, by family."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from sqlalchemy.orm import Session

from hardneg.schemas.effect import (
    Change,
    ChangedDetection,
    FamilyEffect,
    LookAlikeMined,
    RunEffect,
)
from service.effects import store
from service.effects.comparing import ComparedDetection, compare
from service.effects.likeness import Likeness, MinedLooks
from service.errors import ServiceError
from service.evaluation import measure
from service.families import store as family_store
from service.families.views import detection_out
from service.images import store as image_store
from service.images.views import image_out
from service.model_versions import store as version_store
from service.tables import Image, ModelVersion, TrainingRun
from service.training_runs.service import get_run


class EffectUnknown(ServiceError):
    """A run has no version before it or none after it."""

    status = HTTPStatus.CONFLICT
    slug = "effect-unknown"
    title = "Effect is unknown"


@dataclass(frozen=True, slots=True)
class _Versions:
    before: ModelVersion
    after: ModelVersion


def show_effect(
    session: Session,
    run_id: int,
    *,
    threshold: float,
    threshold_after: float | None,
    change: Change | None,
    limit: int,
) -> RunEffect:
    """
    Compare the false detections of a run's parent version with those of its new version.

    Raises TrainingRunNotFound, EffectUnknown.
    """
    run = get_run(session, run_id)
    versions = _versions(session, run)
    sealed = measure.images_scored_by(session, [versions.before.id, versions.after.id])
    ids = sealed.negative_ids
    after_threshold = threshold if threshold_after is None else threshold_after
    compared = compare(
        store.detections_on(session, versions.before.id, ids, threshold),
        store.detections_on(session, versions.after.id, ids, after_threshold),
    )
    looks = MinedLooks(
        store.pool_boxes(session, versions.before.id, run.id), store.mined_ids(session, run.id)
    )
    likenesses = _likenesses(session, versions, looks)
    counts = Counter(item.change for item in compared)
    shown = [item for item in compared if change in (None, item.change)][:limit]
    return RunEffect(
        training_run_id=run.id,
        parent_version=versions.before.name,
        model_version=versions.after.name,
        threshold=threshold,
        threshold_after=after_threshold,
        num_sealed_images=len(ids),
        vanished=counts[Change.VANISHED],
        stayed=counts[Change.STAYED],
        new=counts[Change.NEW],
        missing_groupings=_missing_groupings(session, versions),
        families=_family_effects(session, versions, looks, compared, likenesses),
        items=_items(session, versions, shown, likenesses),
    )


def _versions(session: Session, run: TrainingRun) -> _Versions:
    if run.parent_version_id is None:
        raise EffectUnknown(f"run {run.id} trained a new detector, so no version was before it")
    if run.model_version_id is None:
        raise EffectUnknown(
            f"run {run.id} has no version yet: wait for its job, or add the result of a training "
            "elsewhere with POST /model-versions and 'training_run_id'"
        )
    before = version_store.find_version(session, run.parent_version_id)
    after = version_store.find_version(session, run.model_version_id)
    assert before is not None
    assert after is not None
    return _Versions(before, after)


def _likenesses(
    session: Session, versions: _Versions, looks: MinedLooks
) -> Mapping[tuple[int, int, int], Likeness]:
    """Return the likeness of both versions' sealed detections, by version, image and position."""
    before, after = versions.before.id, versions.after.id
    found = looks.likenesses(store.sealed_boxes(session, before), are_grouped=True)
    likenesses = {(before, *key): likeness for key, likeness in found.items()}
    if family_store.find_grouping(session, before) is not None:
        found = looks.likenesses(store.sealed_boxes(session, after), are_grouped=False)
        likenesses |= {(after, *key): likeness for key, likeness in found.items()}
    return likenesses


def _likeness_of(
    item: ComparedDetection, likenesses: Mapping[tuple[int, int, int], Likeness]
) -> Likeness | None:
    found = item.detection
    return likenesses.get((found.model_version_id, found.image_id, found.position))


def _missing_groupings(session: Session, versions: _Versions) -> list[str]:
    return [
        version.name
        for version in (versions.before, versions.after)
        if family_store.find_grouping(session, version.id) is None
    ]


def _family_effects(
    session: Session,
    versions: _Versions,
    looks: MinedLooks,
    compared: Sequence[ComparedDetection],
    likenesses: Mapping[tuple[int, int, int], Likeness],
) -> list[FamilyEffect]:
    """Count the changes by family, those with most false detections before first."""
    changes: Counter[tuple[int | None, Change]] = Counter()
    for item in compared:
        likeness = _likeness_of(item, likenesses)
        changes[likeness.family_id if likeness else None, item.change] += 1
    numbers = {
        family.id: family.number for family in family_store.families_of(session, versions.before.id)
    }
    mined = looks.count_mined()
    effects = [
        FamilyEffect(
            family_id=family_id,
            number=numbers.get(family_id) if family_id is not None else None,
            num_mined=mined[family_id],
            vanished=changes[family_id, Change.VANISHED],
            stayed=changes[family_id, Change.STAYED],
            new=changes[family_id, Change.NEW],
        )
        for family_id in {family_id for family_id, _ in changes}
    ]
    return sorted(
        effects,
        key=lambda effect: (
            -effect.vanished - effect.stayed,
            -effect.new,
            effect.number is None,
            effect.number or 0,
        ),
    )


def _items(
    session: Session,
    versions: _Versions,
    shown: Sequence[ComparedDetection],
    likenesses: Mapping[tuple[int, int, int], Likeness],
) -> list[ChangedDetection]:
    found = [_likeness_of(item, likenesses) for item in shown]
    image_ids = {item.detection.image_id for item in shown}
    image_ids |= {each.mined_id for each in found if each is not None and each.mined_id is not None}
    images = image_store.find_by_ids(session, sorted(image_ids))
    return [
        ChangedDetection(
            change=item.change,
            before=detection_out(versions.before, item.before),
            after=detection_out(versions.after, item.after),
            is_described=likeness is not None,
            family_id=likeness.family_id if likeness else None,
            look_alike_mined=_look_alike_mined(images, likeness),
            image=image_out(images[item.detection.image_id]),
        )
        for item, likeness in zip(shown, found, strict=True)
    ]


def _look_alike_mined(
    images: Mapping[int, Image], likeness: Likeness | None
) -> LookAlikeMined | None:
    if likeness is None or likeness.mined_id is None:
        return None
    image = images.get(likeness.mined_id)  # None: deleted meanwhile
    return LookAlikeMined(image=image_out(image), cosine=likeness.cosine) if image else None
