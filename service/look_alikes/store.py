"""SQL for images that look alike, and for their map."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from service.db import is_one_of
from service.families.members import Member
from service.tables import (
    Detection,
    Family,
    GroupedDetection,
    Image,
    ImageScore,
    ImageVector,
)

READ_AT_ONCE = 2048  # vectors: 2 MB


def find_vector(session: Session, version_id: int, image_id: int) -> bytes | None:
    """Return the vector of an image's best detection, from the version's last grouping."""
    return session.scalars(
        select(GroupedDetection.vector).where(
            GroupedDetection.image_id == image_id,
            GroupedDetection.model_version_id == version_id,
            GroupedDetection.position == 0,
        )
    ).one_or_none()


def vectors_in_pool(
    session: Session, version_id: int
) -> Iterator[tuple[Sequence[int], Sequence[bytes]]]:
    """Yield ids and vectors of the pool's images in the version's last grouping, in parts."""
    rows = session.execute(
        select(GroupedDetection.image_id, GroupedDetection.vector)
        .where(
            GroupedDetection.model_version_id == version_id,
            GroupedDetection.split == "pool",
            GroupedDetection.vector.is_not(None),
        )
        .execution_options(yield_per=READ_AT_ONCE)
    )
    for part in rows.partitions():
        yield [row[0] for row in part], [row[1] for row in part if row[1] is not None]


def find_members(session: Session, version_id: int, image_ids: Sequence[int]) -> dict[int, Member]:
    """Return images with their scores and best detections by a version, by image id."""
    rows = session.execute(
        select(Image, ImageScore.max_score, Detection)
        .outerjoin(
            ImageScore,
            and_(ImageScore.image_id == Image.id, ImageScore.model_version_id == version_id),
        )
        .outerjoin(
            Detection,
            and_(
                Detection.image_id == Image.id,
                Detection.model_version_id == version_id,
                Detection.position == 0,
            ),
        )
        .where(is_one_of(session, Image.id, image_ids))
    )
    return {image.id: Member(0, image, score, found) for image, score, found in rows}


def is_described(session: Session, image_id: int) -> bool:
    return session.get(ImageVector, image_id) is not None


def find_images(session: Session, image_ids: Sequence[int]) -> Sequence[Image]:
    """Return images in order of id."""
    return session.scalars(
        select(Image).where(is_one_of(session, Image.id, image_ids)).order_by(Image.id)
    ).all()


class Point(NamedTuple):
    """A detection on the map."""

    image_id: int
    split: str
    position: int
    x: float
    y: float
    score: float | None
    verdict: str | None
    family_id: int | None
    family_number: int | None


def count_points(session: Session, version_id: int) -> int:
    statement = (
        select(func.count())
        .select_from(GroupedDetection)
        .where(GroupedDetection.model_version_id == version_id)
    )
    return session.scalars(statement).one()


def points(session: Session, version_id: int, limit: int) -> list[Point]:
    """Return the points of the map: those of the pool first, worst first."""
    is_sealed = case((GroupedDetection.split == "pool", 0), else_=1)
    rows = session.execute(
        select(
            GroupedDetection.image_id,
            GroupedDetection.split,
            GroupedDetection.position,
            GroupedDetection.x,
            GroupedDetection.y,
            Detection.score,
            Image.verdict,
            GroupedDetection.family_id,
            Family.number,
        )
        .join(Image, Image.id == GroupedDetection.image_id)
        .outerjoin(Family, Family.id == GroupedDetection.family_id)
        .outerjoin(
            Detection,
            and_(
                Detection.image_id == GroupedDetection.image_id,
                Detection.model_version_id == GroupedDetection.model_version_id,
                Detection.position == GroupedDetection.position,
            ),
        )
        .where(GroupedDetection.model_version_id == version_id)
        .order_by(
            is_sealed,
            func.coalesce(Detection.score, 0).desc(),
            GroupedDetection.image_id,
            GroupedDetection.position,
        )
        .limit(limit)
    )
    return [Point(*row) for row in rows]
