"""SQL for scores, their detections, and the counts of both."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Double,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.orm import Session, aliased

from models.detectors.detections import Detections
from models.inference.predict import Prediction
from service.db import insert_rows, is_one_of
from service.scoring.results import ScoreResult, ScoringFailure
from service.scoring.splits import RANKED_SPLIT, SCORED_SPLITS
from service.tables import Detection, Id, Image, ImageCount, ImageScore, ScoreCount, utc_now


def save_scores(session: Session, version_id: int, results: Mapping[int, ScoreResult]) -> None:
    """
    Write or overwrite the scores of images, by image id.

    Skips images that were deleted meanwhile, and transient failures: an image without a score is
    scored again.
    """
    results = {
        image_id: result for image_id, result in results.items() if not _is_transient(result)
    }
    if not results:
        return
    images = session.execute(
        select(Image.id, Image.split, Image.source)
        .where(is_one_of(session, Image.id, results))
        .order_by(Image.id)
        .with_for_update(read=True, key_share=True)  # no one deletes them before the commit
    ).all()
    if not images:
        return
    now = utc_now()
    scores, detections = [], []
    for image_id, split, source in images:
        result = results[image_id]
        key = _ranking_key(result)
        scores.append(
            {
                "image_id": image_id,
                "model_version_id": version_id,
                "split": split,
                "source": source,
                "ranking_key": key,
                **_score_columns(result),
                "scored_at": now,
            }
        )
        if isinstance(result, Prediction):
            key = key if split == RANKED_SPLIT else None
            detections += _detection_rows(image_id, version_id, result.detections, key)
    insert_rows(
        session,
        ImageScore,
        scores,
        overwrite=("ranking_key", "max_score", "log_odds", "failure", "scored_at"),
    )
    # After the scores: their rows are locked now, so no other process's detections come between.
    session.execute(
        delete(Detection).where(
            Detection.model_version_id == version_id,
            is_one_of(session, Detection.image_id, [image_id for image_id, _, _ in images]),
        )
    )
    insert_rows(session, Detection, detections)


def _is_transient(result: ScoreResult) -> bool:
    return isinstance(result, ScoringFailure) and result.is_transient


def _ranking_key(result: ScoreResult) -> float | None:
    """Return the key by which the worst image comes first; null log-odds rank last."""
    if isinstance(result, ScoringFailure):
        return None
    return math.inf if result.log_odds is None else -result.log_odds


def _score_columns(result: ScoreResult) -> dict[str, object]:
    if isinstance(result, ScoringFailure):
        return {"max_score": None, "log_odds": None, "failure": result.reason}
    return {"max_score": result.max_score, "log_odds": result.log_odds, "failure": None}


def _detection_rows(
    image_id: int, version_id: int, found: Detections, ranking_key: float | None
) -> list[dict[str, object]]:
    """Return a row for each detection; the first of each class carries the ranking key."""
    labels = found.labels.tolist()
    if not labels:
        return []
    rows = zip(found.boxes.tolist(), found.scores.tolist(), labels, strict=True)
    return [
        {
            "image_id": image_id,
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
    """Return the detections of each image, highest score first."""
    rows = session.scalars(
        select(Detection)
        .where(Detection.model_version_id == version_id, Detection.image_id.in_(image_ids))
        .order_by(Detection.image_id, Detection.position)
    )
    found: dict[int, list[Detection]] = {image_id: [] for image_id in image_ids}
    for row in rows:
        found[row.image_id].append(row)
    return found


class FoundBox(NamedTuple):
    """One detection on an image."""

    image_id: int
    label: int
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


BOXES = (
    select(
        Detection.image_id,
        Detection.label,
        Detection.score,
        Detection.x1,
        Detection.y1,
        Detection.x2,
        Detection.y2,
    )
    .where(
        Detection.model_version_id == bindparam("version_id"),
        Detection.image_id.in_(bindparam("image_ids", expanding=True)),
    )
    .order_by(Detection.image_id, Detection.position)
)


def boxes_on(session: Session, version_id: int, image_ids: Sequence[int]) -> list[FoundBox]:
    """
    Return the detections on images, by image and with the highest score first.

    This reads past the ORM, which takes a quarter of the time.
    """
    values = {"version_id": version_id, "image_ids": image_ids}
    return [FoundBox(*row) for row in session.connection().execute(BOXES, values)]


def log_odds_at_rank(session: Session, version_id: int, source: str, rank: int) -> float | None:
    """Return the log-odds of the ranked image at a rank of its source; None if it has fewer."""
    key = session.scalars(
        select(ImageScore.ranking_key)
        .where(
            ImageScore.model_version_id == version_id,
            ImageScore.split == RANKED_SPLIT,
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
    splits: Sequence[str] = SCORED_SPLITS,
    unranked_by: int | None = None,
) -> Sequence[Image]:
    """
    Return images of some splits that a version has not scored, in order of id.

    With `unranked_by` these are only images that this version has not ranked, either.

    Where there are none, counts say so, without a scan. Otherwise the query looks at every image
    after `after_id` until it has found `limit` of them; `until_id`, inclusive, bounds that scan.
    """
    if count_unscored(session, version_id, splits) == 0:
        return []
    statement = (
        select(Image)
        .where(_is_unscored(version_id, splits), Image.id > after_id)
        .order_by(Image.id)
        .limit(limit)
    )
    if until_id is not None:
        statement = statement.where(Image.id <= until_id)
    if stored_before is not None:
        statement = statement.where(Image.created_at < stored_before)
    if unranked_by is not None:
        statement = statement.where(~_is_ranked(unranked_by))
    return session.scalars(statement).all()


def unscored_by_rank(
    session: Session,
    version_id: int,
    ranking_version_id: int,
    *,
    after: tuple[float, int] | None,
    limit: int,
) -> Sequence[tuple[Image, float]]:
    """
    Return images of the pool that a version has not scored, worst first by another version.

    Args:
        session: for reading.
        version_id: the version that has not scored them.
        ranking_version_id: the version that has ranked them.
        after: ranking key and id of the last image of the page before.
        limit: how many at most.

    Returns:
        Images and their ranking keys.
    """
    ranking = tuple_(ImageScore.ranking_key, ImageScore.image_id)
    statement = (
        select(Image, ImageScore.ranking_key)
        .join(ImageScore, ImageScore.image_id == Image.id)
        .where(
            ImageScore.model_version_id == ranking_version_id,
            ImageScore.split == RANKED_SPLIT,
            ImageScore.ranking_key.is_not(None),
            _is_unscored(version_id, [RANKED_SPLIT]),
        )
        .order_by(ImageScore.ranking_key, ImageScore.image_id)
        .limit(limit)
    )
    if after is not None:
        key, image_id = after
        statement = statement.where(ranking > tuple_(literal(key, Double), literal(image_id, Id)))
    return [(image, key) for image, key in session.execute(statement) if key is not None]


def ranks_all(session: Session, version_id: int) -> bool:
    """Return whether a version has ranked every image of the pool."""
    counts = scored_counts(session, version_id, RANKED_SPLIT)
    failures = exists().where(
        ImageScore.model_version_id == version_id,
        ImageScore.split == RANKED_SPLIT,
        ImageScore.ranking_key.is_(None),
    )
    return counts.scored == counts.images and not session.scalars(select(failures)).one()


def count_unscored(session: Session, version_id: int, splits: Sequence[str] = SCORED_SPLITS) -> int:
    """Return how many images of some splits a version has neither scored nor failed on."""
    return count_images(session, *splits) - count_scored(session, version_id, *splits)


def _is_unscored(version_id: int, splits: Sequence[str]) -> ColumnElement[bool]:
    scored = aliased(ImageScore)
    is_scored = exists().where(scored.image_id == Image.id, scored.model_version_id == version_id)
    return and_(Image.split.in_(splits), ~is_scored)


def _is_ranked(version_id: int) -> ColumnElement[bool]:
    return exists().where(
        ImageScore.image_id == Image.id,
        ImageScore.model_version_id == version_id,
        ImageScore.ranking_key.is_not(None),
    )


def newest_image_id(session: Session) -> int:
    """Return the highest image id, 0 without images."""
    return session.scalars(select(func.max(Image.id))).one() or 0


class ScoredCounts(NamedTuple):
    """The images of a split, and those of them that a version has scored or failed on."""

    images: int
    scored: int


SCORED_COUNTS = select(
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


def scored_counts(session: Session, version_id: int, split: str) -> ScoredCounts:
    values = {"version_id": version_id, "split": split}
    images, scored = session.connection().execute(SCORED_COUNTS, values).one()
    return ScoredCounts(int(images or 0), int(scored or 0))


def count_scored(session: Session, version_id: int, *splits: str) -> int:
    """Return how many images of some splits a version has scored, failures included."""
    statement = select(func.sum(ScoreCount.num_scores)).where(
        ScoreCount.model_version_id == version_id, ScoreCount.split.in_(splits)
    )
    return int(session.scalars(statement).one() or 0)


def count_images(session: Session, *splits: str) -> int:
    statement = select(func.sum(ImageCount.num_images)).where(ImageCount.split.in_(splits))
    return int(session.scalars(statement).one() or 0)
