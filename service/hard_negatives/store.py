"""SQL for the ranked list: one range of one index, in its order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import CTE, ColumnElement, Select, exists, or_, select, tuple_
from sqlalchemy.orm import Session

from service.hard_negatives.cursor import Cursor
from service.hard_negatives.schemas import VerdictFilter
from service.tables import Detection, Image, ImageScore, TrainingRunImage

# Log-odds are finite between these; all that lies beyond is in the range that is read.
LEAST_SCORE, GREATEST_SCORE = 1e-300, math.nextafter(1, 0)

CONTAINS_OBJECT = VerdictFilter.CONTAINS_OBJECT


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
    """
    Worst first; equal keys in image order, so that the ranking is stable.

    What is read is a range of one index: that of all ranked images, of one source or of one
    class. The other filters are looked up for each image of the range until the page is full.
    Only images with one verdict, and those that were trained on, are all read and then sorted:
    they are few, and may be anywhere in the ranking.
    """
    ranked = ImageScore if filters.label is None else Detection
    statement: Select[ImageScore, Image] = (
        select(ImageScore, Image)
        .join(Image, Image.id == ImageScore.image_id)
        .where(
            ImageScore.model_version_id == version_id,
            ImageScore.split == "pool",
            ranked.ranking_key.is_not(None),
            *_range(ranked, filters, after),
            *_verdict_conditions(filters.verdict),
            *_trained_conditions(filters.trained, filters.run_ids),
        )
        .limit(limit)
    )
    if filters.label is not None:
        statement = statement.join(Detection, Detection.image_id == ImageScore.image_id).where(
            Detection.model_version_id == version_id, Detection.label == filters.label
        )
    if filters.source is not None:
        statement = statement.where(ImageScore.source == filters.source)
    few = _few_images(filters)
    if few is None:
        statement = statement.order_by(ranked.ranking_key, ranked.image_id)
    else:
        statement = statement.join(few, few.c.id == ImageScore.image_id)
        # a sum is in no index: so none is read through for its order
        statement = statement.order_by(ranked.ranking_key + 0, ranked.image_id)
    return [(score, image) for score, image in session.execute(statement)]


def _few_images(filters: Filters) -> CTE | None:
    """
    The images that a filter on what people did leaves; None where it may leave most of them.

    Materialized, because SQLite's planner knows no numbers and would walk the ranking instead.
    """
    if filters.verdict in (VerdictFilter.NEGATIVE, VerdictFilter.UNSURE, CONTAINS_OBJECT):
        chosen = select(Image.id).where(Image.verdict == filters.verdict)
    elif filters.trained:
        chosen = (
            select(TrainingRunImage.image_id.label("id"))
            .where(TrainingRunImage.run_id.in_(filters.run_ids))
            .distinct()
        )
    else:
        return None
    return chosen.cte("few_images").prefix_with("MATERIALIZED")


def _range(
    ranked: type[ImageScore] | type[Detection], filters: Filters, after: Cursor | None
) -> list[ColumnElement[bool]]:
    """The exact comparison is on max_score; the key beside it bounds the range of the index."""
    conditions: list[ColumnElement[bool]] = []
    if filters.min_score is not None:
        conditions.append(ImageScore.max_score >= filters.min_score)
        conditions.append(ranked.ranking_key <= _highest_key(filters.min_score))
    if filters.max_score is not None:
        conditions.append(ImageScore.max_score <= filters.max_score)
        conditions.append(ranked.ranking_key >= _lowest_key(filters.max_score))
    if after is not None:
        conditions.append(
            tuple_(ranked.ranking_key, ranked.image_id) > tuple_(after.ranking_key, after.image_id)
        )
    return conditions


def _trained_conditions(trained: bool | None, run_ids: Sequence[int]) -> list[ColumnElement[bool]]:
    in_runs = exists().where(
        TrainingRunImage.run_id.in_(run_ids), TrainingRunImage.image_id == ImageScore.image_id
    )
    match trained:
        case None:
            return []
        case True:
            return [in_runs]
        case False:
            return [~in_runs]


def _verdict_conditions(verdict: VerdictFilter | None) -> list[ColumnElement[bool]]:
    match verdict:
        case VerdictFilter.ANY:
            return []
        case VerdictFilter.NONE:
            return [Image.verdict.is_(None)]
        case None:
            return [or_(Image.verdict.is_(None), Image.verdict != CONTAINS_OBJECT)]
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
