"""SQL for scores and their detections."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, case, delete, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models.inference.predict import Prediction
from service.db import insert_rows, is_one_of
from service.tables import (
    Detection,
    Image,
    ImageCount,
    ImageScore,
    ScoreCount,
    ScreenMargin,
    utc_now,
)

# val too: what a version finds there is kept, so that its AP can be told at any time
SCORED_SPLITS = ("pool", "negative-test", "val")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image has no prediction; `may_pass` if the fault need not be the image's."""

    reason: str
    may_pass: bool = False


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """What scoring one image came to: a prediction, or the reason why there is none."""

    image_id: int
    prediction: Prediction | None
    failure: str | None


def save_scores(session: Session, version_id: int, scored: Iterable[ScoredImage]) -> None:
    """Write or overwrite the scores of images; one that was deleted meanwhile is passed over."""
    by_id = {item.image_id: item for item in scored}
    images = session.execute(
        select(Image.id, Image.split, Image.source)
        .where(is_one_of(session, Image.id, by_id))
        .order_by(Image.id)
        .with_for_update(read=True, key_share=True)  # they stay until the scores are in
    ).all()
    if not images:
        return
    session.execute(
        delete(Detection).where(
            Detection.model_version_id == version_id,
            is_one_of(session, Detection.image_id, [image_id for image_id, _, _ in images]),
        )
    )
    now = utc_now()
    scores, detections = [], []
    for image_id, split, source in images:
        item = by_id[image_id]
        key = _ranking_key(item)
        scores.append(_score_row(version_id, item, key, split, source, now))
        detections += _detection_rows(version_id, item, key if split == "pool" else None)
    insert_rows(
        session,
        ImageScore,
        scores,
        overwrite=("ranking_key", "max_score", "log_odds", "failure", "scored_at"),
    )
    # another process may save the same image's meanwhile; they are the same detections
    insert_rows(session, Detection, detections)


def _score_row(
    version_id: int,
    scored: ScoredImage,
    ranking_key: float | None,
    split: str,
    source: str,
    scored_at: datetime,
) -> dict[str, object]:
    prediction = scored.prediction
    return {
        "image_id": scored.image_id,
        "model_version_id": version_id,
        "split": split,
        "source": source,
        "ranking_key": ranking_key,
        "max_score": prediction.max_score if prediction else None,
        "log_odds": prediction.log_odds if prediction else None,
        "failure": scored.failure,
        "scored_at": scored_at,
    }


def _ranking_key(scored: ScoredImage) -> float | None:
    if scored.prediction is None:
        return None
    if scored.prediction.log_odds is None:
        return math.inf
    return -scored.prediction.log_odds


def _detection_rows(
    version_id: int, scored: ScoredImage, ranking_key: float | None
) -> list[dict[str, object]]:
    if scored.prediction is None:
        return []
    found = scored.prediction.detections
    labels = found.labels.tolist()
    if not labels:
        return []
    rows = zip(found.boxes.tolist(), found.scores.tolist(), labels, strict=True)
    return [
        {
            "image_id": scored.image_id,
            "model_version_id": version_id,
            "position": position,
            "label": label,
            "ranking_key": ranking_key if label not in labels[:position] else None,
            "score": score,
            "x1": box[0],
            "y1": box[1],
            "x2": box[2],
            "y2": box[3],
        }
        for position, (box, score, label) in enumerate(rows)
    ]


def scored_images(results: Mapping[int, Prediction | Failure]) -> list[ScoredImage]:
    """What is to be saved, by image id; not what may pass, so that a sweep tries it again."""
    return [
        ScoredImage(image_id, None, result.reason)
        if isinstance(result, Failure)
        else ScoredImage(image_id, result, None)
        for image_id, result in results.items()
        if not (isinstance(result, Failure) and result.may_pass)
    ]


def save_screen_margin(
    session: Session, version_id: int, computed_by: str, num_images: int, largest_error: float
) -> None:
    """Keep what a process has learned; another one's may be larger, and then stays."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    insert = dialect.insert(ScreenMargin).values(
        model_version_id=version_id,
        computed_by=computed_by,
        num_images=num_images,
        largest_error=largest_error,
    )
    new = insert.excluded
    larger = {
        column.name: case((new[column.name] > column, new[column.name]), else_=column)
        for column in (ScreenMargin.num_images, ScreenMargin.largest_error)
    }
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["model_version_id", "computed_by"],
            set_=larger | {"measured_at": new.measured_at},
        )
    )


def find_screen_margin(session: Session, version_id: int, computed_by: str) -> ScreenMargin | None:
    return session.get(ScreenMargin, (version_id, computed_by))


def screen_margins(session: Session, version_id: int) -> Sequence[ScreenMargin]:
    """Of all that has screened with this version, newest first."""
    return session.scalars(
        select(ScreenMargin)
        .where(ScreenMargin.model_version_id == version_id)
        .order_by(ScreenMargin.measured_at.desc())
    ).all()


def find_scores(
    session: Session, version_id: int, image_ids: Sequence[int]
) -> dict[int, ImageScore]:
    rows = session.scalars(
        select(ImageScore).where(
            ImageScore.model_version_id == version_id, ImageScore.image_id.in_(image_ids)
        )
    )
    return {row.image_id: row for row in rows}


def detections_of(
    session: Session, version_id: int, image_ids: Sequence[int]
) -> dict[int, list[Detection]]:
    """The detections of each image, highest score first."""
    rows = session.scalars(
        select(Detection)
        .where(Detection.model_version_id == version_id, Detection.image_id.in_(image_ids))
        .order_by(Detection.image_id, Detection.position)
    )
    found: dict[int, list[Detection]] = {image_id: [] for image_id in image_ids}
    for row in rows:
        found[row.image_id].append(row)
    return found


def log_odds_at_rank(session: Session, version_id: int, source: str, rank: int) -> float | None:
    """Of the pool's images from one source, worst first; None if there are fewer."""
    key = session.scalars(
        select(ImageScore.ranking_key)
        .where(
            ImageScore.model_version_id == version_id,
            ImageScore.split == "pool",
            ImageScore.source == source,
            ImageScore.ranking_key.is_not(None),
        )
        .order_by(ImageScore.ranking_key, ImageScore.image_id)
        .offset(rank - 1)
        .limit(1)
    ).one_or_none()
    return None if key is None else -key


def find_images(session: Session, image_ids: Sequence[int]) -> Sequence[Image]:
    return session.scalars(
        select(Image).where(Image.id.in_(image_ids), Image.split.in_(SCORED_SPLITS))
    ).all()


def unscored_images(
    session: Session,
    version_id: int,
    *,
    after_id: int,
    limit: int,
    until_id: int | None = None,
    stored_before: datetime | None = None,
) -> Sequence[Image]:
    """
    Images without a score by this version, in order of id; no scan where there are none.

    Every image after `after_id` is looked up until enough are found: `until_id`, itself included,
    bounds how many.
    """
    if count_unscored(session, version_id) == 0:
        return []
    statement = (
        select(Image)
        .where(_is_unscored(version_id), Image.id > after_id)
        .order_by(Image.id)
        .limit(limit)
    )
    if until_id is not None:
        statement = statement.where(Image.id <= until_id)
    if stored_before is not None:
        statement = statement.where(Image.created_at < stored_before)
    return session.scalars(statement).all()


def count_unscored(session: Session, version_id: int) -> int:
    """Images of all splits to be scored that this version has not dealt with."""
    return count_images(session, *SCORED_SPLITS) - count_scored(session, version_id, *SCORED_SPLITS)


def _is_unscored(version_id: int) -> ColumnElement[bool]:
    scored = exists().where(
        ImageScore.image_id == Image.id, ImageScore.model_version_id == version_id
    )
    return and_(Image.split.in_(SCORED_SPLITS), ~scored)


def newest_image_id(session: Session) -> int:
    """0 where there are no images."""
    return session.scalars(select(func.max(Image.id))).one() or 0


class Coverage(NamedTuple):
    """How many images a split has, and how many of them a version has dealt with."""

    images: int
    scored: int


COVERAGE = select(
    select(func.sum(ImageCount.num_images))
    .where(ImageCount.split == bindparam("split"))
    .scalar_subquery(),
    select(func.sum(ScoreCount.num_scores))
    .where(
        ScoreCount.model_version_id == bindparam("version_id"),
        ScoreCount.split == bindparam("split"),
    )
    .scalar_subquery(),
)


def coverage(session: Session, version_id: int, split: str) -> Coverage:
    values = {"version_id": version_id, "split": split}
    images, scored = session.connection().execute(COVERAGE, values).one()
    return Coverage(int(images or 0), int(scored or 0))


def count_scored(session: Session, version_id: int, *splits: str) -> int:
    """Images of these splits that this version has dealt with, failures included."""
    statement = select(func.sum(ScoreCount.num_scores)).where(
        ScoreCount.model_version_id == version_id, ScoreCount.split.in_(splits)
    )
    return int(session.scalars(statement).one() or 0)


def count_images(session: Session, *splits: str) -> int:
    statement = select(func.sum(ImageCount.num_images)).where(ImageCount.split.in_(splits))
    return int(session.scalars(statement).one() or 0)
