"""SQL for images, and for the scores that are shown with them."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import torch
from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from hardneg.schemas.images import ImageOut, Verdict
from models.detectors.detections import Detections
from models.inference.predict import Prediction
from service.db import is_one_of, now_of
from service.scoring import store as score_store
from service.scoring.results import ScoreResult, ScoringFailure
from service.tables import BoxJudgement, Detection, Image, ImageScore

# The columns of an image that clients see, in the order of the JSON. Links are made from the id.
IMAGE_COLUMNS: dict[str, InstrumentedAttribute[object]] = {
    name: getattr(Image, name) for name in ImageOut.model_fields if name != "links"
}


def is_negative() -> ColumnElement[bool]:
    """Select the images that no person has judged to contain an object."""
    return or_(Image.verdict.is_(None), Image.verdict != Verdict.CONTAINS_OBJECT)


def add_image(session: Session, values: dict[str, object]) -> Image | None:
    """Insert an image and return it; return None if another row has its digest."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(Image)
        .values({**values, "created_at": now_of(session)})
        .on_conflict_do_nothing(index_elements=["sha256"])
        .returning(Image)
    )
    return session.scalars(statement).one_or_none()


def add_or_find_images(session: Session, rows: Mapping[str, dict[str, object]]) -> dict[str, Image]:
    """
    Insert the rows whose digests no image has, and return the images of all rows.

    Both mappings are by digest.
    """
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(Image).on_conflict_do_nothing(index_elements=["sha256"]).returning(Image)
    )
    if not rows:
        return {}
    images: dict[str, Image] = {}
    moment = now_of(session)
    dated = {digest: {**row, "created_at": moment} for digest, row in rows.items()}
    while missing := [row for digest, row in dated.items() if digest not in images]:
        added = session.scalars(statement, missing).all()
        images |= {image.sha256: image for image in added}
        images |= find_by_digests(session, [digest for digest in rows if digest not in images])
    return images


def find_by_digests(session: Session, digests: Sequence[str]) -> dict[str, Image]:
    """Return the stored images with these digests, by digest."""
    if not digests:
        return {}
    found = session.scalars(select(Image).where(Image.sha256.in_(digests)))
    return {image.sha256: image for image in found}


def find_by_ids(session: Session, image_ids: Sequence[int]) -> dict[int, Image]:
    """Return the stored images with these ids, by id."""
    found = session.scalars(select(Image).where(Image.id.in_(image_ids)))
    return {image.id: image for image in found}


def find_image(session: Session, image_id: int, *, lock: bool = False) -> Image | None:
    """
    Return an image; with `lock`, nobody else changes or deletes its row in this transaction.

    Every change of an image, its boxes or its verdict locks the image's row first: one order, no
    deadlock. On SQLite a transaction that writes locks the whole database already.
    """
    return session.get(Image, image_id, with_for_update=True if lock else None)


def lock_images(session: Session, image_ids: Sequence[int]) -> dict[int, Image]:
    """Return images by id, each locked as by `find_image`; in order of id, so none deadlocks."""
    found = session.scalars(
        select(Image)
        .where(is_one_of(session, Image.id, image_ids))
        .order_by(Image.id)
        .with_for_update()
    )
    return {image.id: image for image in found}


def find_by_digest(session: Session, sha256: str, *, lock: bool = False) -> Image | None:
    """Return the image with this digest; `lock` works as in `find_image`."""
    statement = select(Image).where(Image.sha256 == sha256)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def list_images(
    session: Session, *, split: str | None, source: str | None, after_id: int, limit: int
) -> Sequence[Image]:
    """Return images in order of id."""
    statement = select(Image).where(Image.id > after_id).order_by(Image.id).limit(limit)
    if split is not None:
        statement = statement.where(Image.split == split)
    if source is not None:
        statement = statement.where(Image.source == source)
    return session.scalars(statement).all()


def count_judged(session: Session, split: str) -> int:
    """Return how many images of a split have a person's verdict."""
    statement = select(func.count()).where(Image.verdict.is_not(None), Image.split == split)
    return session.scalars(statement).one()


def find_scores(
    session: Session, version_id: int, image_ids: Sequence[int]
) -> dict[int, ScoreResult]:
    """Return the stored scores of images by one version, by image id."""
    scores = score_store.find_scores(session, version_id, image_ids)
    if not scores:
        return {}
    detections = score_store.detections_of(session, version_id, list(scores))
    return {
        image_id: _score_result(score, detections[image_id]) for image_id, score in scores.items()
    }


def _score_result(score: ImageScore, found: Sequence[Detection]) -> ScoreResult:
    if score.failure is not None:
        return ScoringFailure(score.failure)
    boxes = [(row.x1, row.y1, row.x2, row.y2) for row in found]
    detections = Detections(
        boxes=torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
        scores=torch.tensor([row.score for row in found], dtype=torch.float64),
        labels=torch.tensor([row.label for row in found], dtype=torch.int64),
    )
    return Prediction(score.max_score, score.log_odds, detections)


def box_judgements(session: Session, image_id: int) -> Sequence[BoxJudgement]:
    """Return a person's verdicts on boxes of an image, in the order that they were sent."""
    return session.scalars(
        select(BoxJudgement)
        .where(BoxJudgement.image_id == image_id)
        .order_by(BoxJudgement.position)
    ).all()


def box_judgements_of(
    session: Session, image_ids: Sequence[int]
) -> Mapping[int, Sequence[BoxJudgement]]:
    """Return people's verdicts on boxes by image, in order; images without any are absent."""
    rows = session.scalars(
        select(BoxJudgement)
        .where(BoxJudgement.image_id.in_(image_ids))
        .order_by(BoxJudgement.image_id, BoxJudgement.position)
    )
    return {image_id: list(found) for image_id, found in groupby(rows, lambda row: row.image_id)}


def judged_class_names(session: Session) -> list[str]:
    """Return the classes of the boxes that people judged to be objects, sorted by name."""
    names = session.scalars(
        select(BoxJudgement.class_name).where(BoxJudgement.is_object).distinct()
    )
    return sorted(name for name in names if name is not None)


def replace_box_judgements(session: Session, image_id: int, rows: Sequence[BoxJudgement]) -> None:
    """Replace all verdicts on boxes of an image."""
    session.execute(delete(BoxJudgement).where(BoxJudgement.image_id == image_id))
    session.add_all(rows)
    session.flush()
