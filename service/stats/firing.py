"""SQL for the images without objects on which one of two versions fires, or both do."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVarTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, select
from sqlalchemy.orm import Session, aliased

from hardneg.schemas.firing import FiringChange
from service.images.store import is_negative
from service.scoring.store import count_images
from service.tables import Detection, Image, ImageScore, ModelVersion

Columns = TypeVarTuple("Columns")

_SCORE_BEFORE, _SCORE_NOW = aliased(ImageScore), aliased(ImageScore)
_TOP_BEFORE, _TOP_NOW = aliased(Detection), aliased(Detection)


class FiringVersion(NamedTuple):
    """A version, and the score from which its detections count."""

    version: ModelVersion
    threshold: float


class FiringCounts(NamedTuple):
    """The numbers of images that both versions have scored, and on which either fires."""

    num_images: int
    num_unscored: int
    stopped: int
    started: int
    stayed: int


class FiringRow(NamedTuple):
    """An image with its highest score by both versions."""

    image: Image
    max_score_before: float | None
    max_score: float | None


def count_firing(
    session: Session, before: FiringVersion, now: FiringVersion, split: str
) -> FiringCounts:
    """Count the images of a split by how their firing changed."""
    conditions = [_is_change(change, before, now) for change in FiringChange]
    counted = [func.sum(case((condition, 1), else_=0)) for condition in conditions]
    row = session.execute(_compared(select(func.count(), *counted), before, now, split)).one()
    num_images, stopped, started, stayed = (int(value or 0) for value in row)
    num_unscored = count_images(session, split) - num_images
    return FiringCounts(num_images, num_unscored, stopped, started, stayed)


def firing_images(
    session: Session,
    before: FiringVersion,
    now: FiringVersion,
    split: str,
    change: FiringChange,
    *,
    offset: int,
    limit: int,
) -> Sequence[FiringRow]:
    """Return images by one change, the surest detection first, of the version that fires."""
    order = _TOP_BEFORE.score if change is FiringChange.STOPPED else _TOP_NOW.score
    columns = select(Image, _SCORE_BEFORE.max_score, _SCORE_NOW.max_score)
    statement = (
        _compared(columns, before, now, split)
        .where(_is_change(change, before, now))
        .order_by(order.desc(), Image.id)
        .offset(offset)
        .limit(limit)
    )
    return [FiringRow(*row) for row in session.execute(statement)]


def _compared(
    statement: Select[*Columns], before: FiringVersion, now: FiringVersion, split: str
) -> Select[*Columns]:
    """Select from the images of a split that both versions have scored, with their detections."""
    statement = (
        statement.select_from(_SCORE_BEFORE)
        .join(_SCORE_NOW, _SCORE_NOW.image_id == _SCORE_BEFORE.image_id)
        .join(Image, Image.id == _SCORE_BEFORE.image_id)
        .where(
            _SCORE_BEFORE.model_version_id == before.version.id,
            _SCORE_BEFORE.split == split,
            _SCORE_BEFORE.failure.is_(None),
            _SCORE_NOW.model_version_id == now.version.id,
            _SCORE_NOW.failure.is_(None),
            is_negative(),
        )
    )
    for top, score in ((_TOP_BEFORE, _SCORE_BEFORE), (_TOP_NOW, _SCORE_NOW)):
        is_top = and_(
            top.image_id == score.image_id,
            top.model_version_id == score.model_version_id,
            top.position == 0,
        )
        statement = statement.outerjoin(top, is_top)
    return statement


def _is_change(
    change: FiringChange, before: FiringVersion, now: FiringVersion
) -> ColumnElement[bool]:
    fired = func.coalesce(_TOP_BEFORE.score, -1.0) >= before.threshold
    fires = func.coalesce(_TOP_NOW.score, -1.0) >= now.threshold
    match change:
        case FiringChange.STOPPED:
            return and_(fired, ~fires)
        case FiringChange.STARTED:
            return and_(~fired, fires)
        case FiringChange.STAYED:
            return and_(fired, fires)
