"""SQL for the ranked list, which reads one range of one index in its order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    Select,
    bindparam,
    exists,
    select,
    tuple_,
)
from sqlalchemy.orm import Session

from hardneg.schemas.hard_negatives import VerdictFilter
from service.hard_negatives.cursor import Cursor
from service.holding.store import is_held
from service.images.store import IMAGE_COLUMNS, is_negative
from service.tables import (
    Activation,
    Detection,
    HoldDecision,
    Id,
    Image,
    ImageScore,
    ModelVersion,
    TrainingRunImage,
)

# Log-odds are finite between these scores; the index range covers everything beyond them.
LEAST_SCORE, GREATEST_SCORE = 1e-300, math.nextafter(1, 0)


@dataclass(frozen=True, slots=True)
class Filters:
    """
    Conditions on the images of the list; None is no condition.

    Attributes:
        label: only images with a detection of this label.
        trained: only images that are in the frozen list of one of the runs `run_ids`, or in none.
        held: only images that the version's last hold test holds, by their decision; or only the
            others.
    """

    min_score: float | None = None
    max_score: float | None = None
    label: int | None = None
    source: str | None = None
    verdict: VerdictFilter | None = None
    trained: bool | None = None
    run_ids: Sequence[int] = ()
    held: bool | None = None


class RankingVersion(NamedTuple):
    """The version that ranks the list; label k is `class_names[k - 1]`."""

    id: int
    name: str
    class_names: list[str]


class RankedImage(NamedTuple):
    """
    One row of the list; `columns` has the image's `IMAGE_COLUMNS` by name.

    `ranking_key` orders the list; held images are listed by minus their decision.
    """

    id: int
    ranking_key: float
    max_score: float | None
    log_odds: float | None
    columns: dict[str, object]


def hardest_images(
    session: Session,
    version_id: int,
    filters: Filters,
    after: Cursor | None,
    limit: int,
    among: Sequence[int] | None = None,
) -> list[RankedImage]:
    """
    Return images worst first, and images with equal keys in order of id.

    The statement reads a range of one index: the index of all ranked images, of one source or of
    one class. It checks the other filters for each image of the range until the page is full. For
    one verdict, for images that were trained on and for held ones, it reads all of them and sorts:
    they are few, and may be anywhere in the ranking. So it does where the list is only `among` some
    images.
    """
    values: dict[str, object] = {"version_id": version_id, "page_size": limit}
    if filters.min_score is not None:
        values |= {"min_score": filters.min_score, "high_key": _highest_key(filters.min_score)}
    if filters.max_score is not None:
        values |= {"max_score": filters.max_score, "low_key": _lowest_key(filters.max_score)}
    if filters.label is not None:
        values["label"] = filters.label
    if filters.source is not None:
        values["source"] = filters.source
    if filters.trained is not None:
        values["run_ids"] = filters.run_ids
    if after is not None:
        values |= {"after_key": after.ranking_key, "after_id": after.image_id}
    if among is not None:
        values["among"] = among
    statement = _ranking(frozenset(values), filters.verdict, filters.trained, filters.held)
    rows = session.connection().execute(statement, values)
    return [
        RankedImage(
            image_id, key, max_score, log_odds, dict(zip(IMAGE_COLUMNS, columns, strict=True))
        )
        for image_id, key, max_score, log_odds, *columns in rows
    ]


# Built once for each set of filters: building takes several times longer than running it.
@cache
def _ranking(
    given: frozenset[str],
    verdict: VerdictFilter | None,
    trained: bool | None,
    held: bool | None,
) -> Select[*tuple[Any, ...]]:
    """Build the statement for filters of these names; their values are bound when it runs."""
    ranked = Detection if "label" in given else ImageScore
    ranking_key: ColumnElement[Any] = ranked.ranking_key.expression
    key = -HoldDecision.decision if held else ranking_key
    statement = (
        select(
            ImageScore.image_id,
            key,
            ImageScore.max_score,
            ImageScore.log_odds,
            *IMAGE_COLUMNS.values(),
        )
        .select_from(ImageScore)
        .join(Image, Image.id == ImageScore.image_id)
        .where(
            ImageScore.model_version_id == bindparam("version_id"),
            ImageScore.split == "pool",
            ranking_key.is_not(None),
            *_range(ranked, key, given),
            *_verdict_conditions(verdict),
            *_trained_conditions(trained),
            *_held_conditions(held),
        )
        .limit(bindparam("page_size"))
    )
    if "label" in given:
        statement = statement.join(Detection, Detection.image_id == ImageScore.image_id).where(
            Detection.model_version_id == bindparam("version_id"),
            Detection.label == bindparam("label"),
        )
    if "source" in given:
        statement = statement.where(ImageScore.source == bindparam("source"))
    if "among" in given:
        statement = statement.where(ImageScore.image_id.in_(bindparam("among", expanding=True)))
    if held:
        statement = statement.join(HoldDecision, HoldDecision.image_id == ImageScore.image_id)
        return statement.order_by(key, ranked.image_id)
    selected = _preselected(given, verdict, trained)
    if selected is not None:
        statement = statement.join(selected, selected.c.id == ImageScore.image_id)
        key = key + 0  # no index has a sum, so the planner does not walk one for its order
    return statement.order_by(key, ranked.image_id)


def _range(
    ranked: type[ImageScore] | type[Detection], key: ColumnElement[Any], given: frozenset[str]
) -> list[ColumnElement[bool]]:
    """Compare max_score exactly, and bound the range of the index by the key beside it."""
    conditions: list[ColumnElement[bool]] = []
    if "min_score" in given:
        conditions.append(ImageScore.max_score >= bindparam("min_score"))
        conditions.append(ranked.ranking_key <= bindparam("high_key"))
    if "max_score" in given:
        conditions.append(ImageScore.max_score <= bindparam("max_score"))
        conditions.append(ranked.ranking_key >= bindparam("low_key"))
    if "after_key" in given:
        after = tuple_(bindparam("after_key", type_=Double), bindparam("after_id", type_=Id))
        conditions.append(tuple_(key, ranked.image_id) > after)
    return conditions


def _preselected(
    given: frozenset[str], verdict: VerdictFilter | None, trained: bool | None
) -> CTE | None:
    """
    Select the images that ids, a verdict or a training list leave; None if these may be most.

    The selection is materialized: SQLite's planner does not know that it is small, and would walk
    the ranking instead.
    """
    chosen: Select[int]
    if "among" in given:
        chosen = select(Image.id).where(Image.id.in_(bindparam("among", expanding=True)))
    elif verdict in (VerdictFilter.NEGATIVE, VerdictFilter.UNSURE, VerdictFilter.CONTAINS_OBJECT):
        chosen = select(Image.id).where(Image.verdict == verdict)
    elif trained:
        chosen = select(TrainingRunImage.image_id.label("id")).where(_in_runs()).distinct()
    else:
        return None
    return chosen.cte("preselected").prefix_with("MATERIALIZED")


def _in_runs() -> ColumnElement[bool]:
    return TrainingRunImage.run_id.in_(bindparam("run_ids", expanding=True))


def _trained_conditions(trained: bool | None) -> list[ColumnElement[bool]]:
    in_list = exists().where(_in_runs(), TrainingRunImage.image_id == ImageScore.image_id)
    match trained:
        case None:
            return []
        case True:
            return [in_list]
        case False:
            return [~in_list]


def _held_conditions(held: bool | None) -> list[ColumnElement[bool]]:
    by_version = HoldDecision.model_version_id == bindparam("version_id")
    match held:
        case None:
            return []
        case True:
            return [by_version, is_held()]
        case False:
            return [
                ~exists().where(by_version, HoldDecision.image_id == ImageScore.image_id, is_held())
            ]


def _verdict_conditions(verdict: VerdictFilter | None) -> list[ColumnElement[bool]]:
    match verdict:
        case VerdictFilter.ANY:
            return []
        case VerdictFilter.NONE:
            return [Image.verdict.is_(None)]
        case None:
            return [is_negative()]
        case _:
            return [Image.verdict == verdict]


BY_ID = select(ModelVersion.id, ModelVersion.name, ModelVersion.class_names).where(
    ModelVersion.id == bindparam("version_id")
)
SERVING = (
    select(ModelVersion.id, ModelVersion.name, ModelVersion.class_names)
    .join(Activation)
    .order_by(Activation.id.desc())
    .limit(1)
)


def find_version(session: Session, version_id: int) -> RankingVersion | None:
    """Return a version past the ORM, which takes less time than loading a `ModelVersion`."""
    row = session.connection().execute(BY_ID, {"version_id": version_id}).one_or_none()
    return RankingVersion(*row) if row else None


def serving_version(session: Session) -> RankingVersion | None:
    """Return the version that serves, past the ORM like `find_version`."""
    row = session.connection().execute(SERVING).one_or_none()
    return RankingVersion(*row) if row else None


def _highest_key(min_score: float) -> float:
    """Return a ranking key that no image with at least this score exceeds."""
    return math.inf if min_score < LEAST_SCORE else _slack(min_score) - _log_odds(min_score)


def _lowest_key(max_score: float) -> float:
    """Return a ranking key that every image with at most this score reaches."""
    return -math.inf if max_score >= 1 else -_log_odds(max_score) - _slack(max_score)


def _log_odds(probability: float) -> float:
    inside = _inside(probability)
    return math.log(inside) - math.log1p(-inside)


def _slack(probability: float) -> float:
    """Bound the error of a rounded probability's log-odds: its spacing over p·(1 - p)."""
    inside = _inside(probability)
    return 4 * math.ulp(inside) / (inside * (1 - inside))


def _inside(probability: float) -> float:
    return min(max(probability, LEAST_SCORE), GREATEST_SCORE)
