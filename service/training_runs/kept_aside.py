"""The fifth of the pool that recipes are compared on, and that is never mined."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, exists, func, null, select, true
from sqlalchemy.orm import Session

from hardneg.schemas.recipes import RecipeChoice
from hardneg.schemas.training_runs import FreezeRequest, RetrainRequest
from service.holding import store as hold_store
from service.images.store import is_negative
from service.tables import Image, ImageScore, TrainingRun, TrainingRunImage
from service.training_runs import store

KEPT_BELOW = "3333"  # as hexadecimal digits of a digest: a fifth of all digests begin below
MIN_IMAGES = 20  # to compare recipes on
MAX_IMAGES = 300  # the hardest: false detections on others are rare, and each takes time


def is_kept_aside(digest: str) -> bool:
    """Return whether the image with this SHA-256, in hexadecimal, belongs to the fifth."""
    return digest < KEPT_BELOW


def tries_recipes(request: FreezeRequest) -> bool:
    return isinstance(request, RetrainRequest) and request.recipe is RecipeChoice.AUTO


def is_minable(session: Session, request: FreezeRequest) -> ColumnElement[bool]:
    """
    Select the images that may be mined: all, or all outside of the fifth.

    The fifth is kept as soon as the first run tries recipes, and from then on by every run.
    """
    if tries_recipes(request) or session.scalars(select(_has_begun())).one():
        return Image.sha256 >= KEPT_BELOW
    return true()


def count_kept(session: Session) -> int:
    """Count the images of the fifth that nobody has judged to contain an object."""
    return session.scalars(
        select(func.count()).select_from(Image).where(Image.split == "pool", *_is_kept())
    ).one()


def images_to_compare_on(session: Session, version_id: int) -> list[int]:
    """
    Return the fifth's hardest images, without those that look like true objects.

    They look so by the version's last hold test, if it is trusted.
    """
    held = _held(session, version_id)
    return [image_id for image_id in hardest_kept(session, version_id) if image_id not in held]


def hardest_kept(session: Session, version_id: int) -> Sequence[int]:
    """
    Return the fifth's hardest images by a version's scores.

    Left out are those that the version or an ancestor was trained on before the fifth was kept.
    """
    trained = exists().where(
        TrainingRunImage.run_id.in_(store.runs_behind(session, version_id)),
        TrainingRunImage.image_id == Image.id,
    )
    return session.scalars(
        select(Image.id)
        .join(ImageScore, ImageScore.image_id == Image.id)
        .where(
            ImageScore.model_version_id == version_id,
            ImageScore.split == "pool",
            ImageScore.ranking_key.is_not(None),
            *_is_kept(),
            ~trained,
        )
        .order_by(ImageScore.ranking_key, ImageScore.image_id)
        .limit(MAX_IMAGES)
    ).all()


def _held(session: Session, version_id: int) -> set[int]:
    test = hold_store.find_test(session, version_id)
    if test is None or not test.is_trusted:
        return set()
    decided = hold_store.decisions_in(session, version_id, "pool")
    return {image.image_id for image in decided if image.decision > 0}


def _is_kept() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Image.sha256 < KEPT_BELOW, is_negative()


def _has_begun() -> ColumnElement[bool]:
    return exists().where(TrainingRun.recipes.is_not(null()))
