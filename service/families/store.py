"""SQL for families of look-alikes."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Select, and_, delete, exists, func, select
from sqlalchemy.orm import Session

from service.db import insert_rows, is_one_of
from service.images.store import is_negative
from service.tables import (
    Detection,
    Family,
    FamilyGrouping,
    GroupedDetection,
    Image,
    ImageScore,
    TrainingRun,
    TrainingRunImage,
)


def hardest_minable(session: Session, version_id: int, limit: int) -> list[int]:
    """
    Return a version's worst images of the pool that a retraining of it could mine.

    They have a detection, no person has judged that they contain an object, and they are not in the
    list of the run that the version came from.
    """
    run = (
        select(func.max(TrainingRun.id))
        .where(TrainingRun.model_version_id == version_id)
        .scalar_subquery()
    )
    is_used = exists().where(
        TrainingRunImage.run_id == run, TrainingRunImage.image_id == ImageScore.image_id
    )
    return list(session.scalars(_ranked(version_id).where(is_negative(), ~is_used).limit(limit)))


def hardest_detected(session: Session, version_id: int, limit: int) -> list[int]:
    """Return a version's worst images of the pool that have a detection, whatever the verdict."""
    return list(session.scalars(_ranked(version_id).limit(limit)))


def _ranked(version_id: int) -> Select[int]:
    has_detection = exists().where(
        Detection.image_id == ImageScore.image_id,
        Detection.model_version_id == version_id,
        Detection.position == 0,
    )
    return (
        select(ImageScore.image_id)
        .join(Image, Image.id == ImageScore.image_id)
        .where(
            ImageScore.model_version_id == version_id,
            ImageScore.split == "pool",
            ImageScore.ranking_key.is_not(None),
            has_detection,
        )
        .order_by(ImageScore.ranking_key, ImageScore.image_id)
    )


class GroupedBox(NamedTuple):
    """A detection, its family in the order of families, and its place on the map."""

    image_id: int
    position: int
    split: str
    family: int | None
    vector: bytes
    x: float
    y: float


def save_grouping(session: Session, grouping: FamilyGrouping, boxes: Sequence[GroupedBox]) -> None:
    """Save a grouping in place of the version's last one; images deleted meanwhile are skipped."""
    version_id = grouping.model_version_id
    session.execute(delete(GroupedDetection).where(GroupedDetection.model_version_id == version_id))
    session.execute(delete(Family).where(Family.model_version_id == version_id))
    session.merge(grouping)
    stored = set(
        session.scalars(
            select(Image.id)
            .where(is_one_of(session, Image.id, {box.image_id for box in boxes}))
            .order_by(Image.id)
            .with_for_update(read=True, key_share=True)  # no one deletes them before the commit
        )
    )
    num_families = 1 + max((box.family for box in boxes if box.family is not None), default=-1)
    families = [Family(model_version_id=version_id, number=n + 1) for n in range(num_families)]
    session.add_all(families)
    session.flush()
    rows: list[dict[str, object]] = [
        {
            "image_id": box.image_id,
            "model_version_id": version_id,
            "position": box.position,
            "split": box.split,
            "family_id": None if box.family is None else families[box.family].id,
            "vector": box.vector,
            "x": box.x,
            "y": box.y,
        }
        for box in boxes
        if box.image_id in stored
    ]
    insert_rows(session, GroupedDetection, rows)


def find_grouping(session: Session, version_id: int) -> FamilyGrouping | None:
    return session.get(FamilyGrouping, version_id)


def find_family(session: Session, family_id: int) -> Family | None:
    return session.get(Family, family_id)


def families_of(session: Session, version_id: int) -> Sequence[Family]:
    """Return the families of a version's last grouping, by best score."""
    return session.scalars(
        select(Family).where(Family.model_version_id == version_id).order_by(Family.number)
    ).all()


def image_ids_of(session: Session, family_id: int) -> list[int]:
    """Return the images of a family, worst first."""
    return list(
        session.scalars(
            select(GroupedDetection.image_id)
            .join(
                ImageScore,
                and_(
                    ImageScore.image_id == GroupedDetection.image_id,
                    ImageScore.model_version_id == GroupedDetection.model_version_id,
                ),
            )
            .where(GroupedDetection.family_id == family_id, GroupedDetection.split == "pool")
            .order_by(ImageScore.ranking_key, ImageScore.image_id)
        )
    )


def numbers_of(session: Session, version_id: int) -> dict[int, int]:
    """Return the number of the family of each grouped image of the pool, by image id."""
    rows = session.execute(
        select(GroupedDetection.image_id, Family.number)
        .join(Family, Family.id == GroupedDetection.family_id)
        .where(GroupedDetection.model_version_id == version_id, GroupedDetection.split == "pool")
    )
    return {row[0]: row[1] for row in rows}
