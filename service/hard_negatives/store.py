"""SQL for the ranked list: one range of one index, in its order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, exists, or_, select, tuple_
from sqlalchemy.orm import Session

from service.hard_negatives.cursor import Cursor
from service.hard_negatives.schemas import VerdictFilter
from service.tables import Detection, Image, ImageScore, TrainingRunImage

# Log-odds are finite between these; all that lies beyond is in the range that is read.
LEAST_SCORE, GREATEST_SCORE = 1e-300, math.nextafter(1, 0)


@dataclass(frozen=True, slots=True)
class Filters:
    """
    What the list is narrowed to; None means no limit.

    Attributes:
        trained: whether any of the runs `run_ids` has the image in its frozen list.
    """

    min_score: float | None
    max_score: float | None
    label: int | None
    source: str | None
    verdict: VerdictFilter | None
    trained: bool | None
    run_ids: Sequence[int]


def hardest_images(
    session: Session, version_id: int, filters: Filters, after: Cursor | None, limit: int
) -> Sequence[tuple[ImageScore, Image]]:
    """Worst first; equal keys in image order, so that the ranking is stable."""
    statement: Select[ImageScore, Image] = (
        select(ImageScore, Image)
        .join(Image, Image.id == ImageScore.image_id)
        .where(
            ImageScore.model_version_id == version_id,
            ImageScore.split == "pool",
            ImageScore.ranking_key.is_not(None),
            *_conditions(version_id, filters),
        )
        .order_by(ImageScore.ranking_key, ImageScore.image_id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(
            tuple_(ImageScore.ranking_key, ImageScore.image_id)
            > tuple_(after.ranking_key, after.image_id)
        )
    return [(score, image) for score, image in session.execute(statement)]


# The exact comparison is on max_score; the key beside it bounds the range of the index.
def _conditions(version_id: int, filters: Filters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if filters.min_score is not None:
        conditions.append(ImageScore.max_score >= filters.min_score)
        conditions.append(ImageScore.ranking_key <= _highest_key(filters.min_score))
    if filters.max_score is not None:
        conditions.append(ImageScore.max_score <= filters.max_score)
        conditions.append(ImageScore.ranking_key >= _lowest_key(filters.max_score))
    if filters.source is not None:
        conditions.append(Image.source == filters.source)
    if filters.label is not None:
        conditions.append(
            exists().where(
                Detection.image_id == ImageScore.image_id,
                Detection.model_version_id == version_id,
                Detection.label == filters.label,
            )
        )
    conditions.extend(_verdict_conditions(filters.verdict))
    conditions.extend(_trained_conditions(filters.trained, filters.run_ids))
    return conditions


def _trained_conditions(trained: bool | None, run_ids: Sequence[int]) -> list[ColumnElement[bool]]:
    """Few images are trained on: they are found from the frozen lists, the others by the rank."""
    in_runs = TrainingRunImage.run_id.in_(run_ids)
    match trained:
        case None:
            return []
        case True:
            return [ImageScore.image_id.in_(select(TrainingRunImage.image_id).where(in_runs))]
        case False:
            return [~exists().where(in_runs, TrainingRunImage.image_id == ImageScore.image_id)]


def _verdict_conditions(verdict: VerdictFilter | None) -> list[ColumnElement[bool]]:
    match verdict:
        case VerdictFilter.ANY:
            return []
        case VerdictFilter.NONE:
            return [Image.verdict.is_(None)]
        case None:
            return [or_(Image.verdict.is_(None), Image.verdict != "contains-object")]
        case _:
            return [Image.verdict == verdict]


def _highest_key(min_score: float) -> float:
    """No image with this score or more has a greater key."""
    return math.inf if min_score < LEAST_SCORE else _slack(min_score) - _log_odds(min_score)


def _lowest_key(max_score: float) -> float:
    """No image with this score or less has a smaller key."""
    return -math.inf if max_score >= 1 else -_log_odds(max_score) - _slack(max_score)


def _log_odds(probability: float) -> float:
    inside = _inside(probability)
    return math.log(inside) - math.log1p(-inside)


def _slack(probability: float) -> float:
    """How far the log-odds of a rounded probability may be off: its spacing over p·(1 - p)."""
    inside = _inside(probability)
    return 4 * math.ulp(inside) / (inside * (1 - inside))


def _inside(probability: float) -> float:
    return min(max(probability, LEAST_SCORE), GREATEST_SCORE)
