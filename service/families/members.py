"""SQL for the images of families: the hardest, their verdicts, and how versions scored them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session

from service.db import is_one_of
from service.images.store import is_negative
from service.tables import Detection, GroupedDetection, Image, ImageScore, ModelVersion


class Member(NamedTuple):
    """An image of a family, as the version scored it."""

    family_id: int
    image: Image
    max_score: float | None
    detection: Detection | None


def members_of(
    session: Session, version_id: int, family_ids: Sequence[int], num_each: int, offset: int = 0
) -> dict[int, list[Member]]:
    """Return the hardest images of families, by family and worst first, after `offset` of each."""
    place = func.row_number().over(
        partition_by=GroupedDetection.family_id,
        order_by=(ImageScore.ranking_key, ImageScore.image_id),
    )
    ranked = (
        select(
            GroupedDetection.family_id,
            GroupedDetection.image_id,
            GroupedDetection.position,
            ImageScore.max_score,
            place.label("place"),
        )
        .join(
            ImageScore,
            and_(
                ImageScore.image_id == GroupedDetection.image_id,
                ImageScore.model_version_id == GroupedDetection.model_version_id,
            ),
        )
        .where(
            is_one_of(session, GroupedDetection.family_id, family_ids),
            GroupedDetection.split == "pool",
        )
        .subquery()
    )
    rows = session.execute(
        select(ranked.c.family_id, Image, ranked.c.max_score, Detection)
        .join(Image, Image.id == ranked.c.image_id)
        .outerjoin(
            Detection,
            and_(
                Detection.image_id == ranked.c.image_id,
                Detection.model_version_id == version_id,
                Detection.position == ranked.c.position,
            ),
        )
        .where(ranked.c.place > offset, ranked.c.place <= offset + num_each)
        .order_by(ranked.c.family_id, ranked.c.place)
    )
    members: dict[int, list[Member]] = defaultdict(list)
    for family_id, image, max_score, detection in rows:
        members[family_id].append(Member(family_id, image, max_score, detection))
    return members


def count_verdicts(session: Session, family_ids: Sequence[int]) -> dict[int, dict[str | None, int]]:
    """Count the images of each family by their verdict."""
    rows = session.execute(
        select(GroupedDetection.family_id, Image.verdict, func.count())
        .join(Image, Image.id == GroupedDetection.image_id)
        .where(
            is_one_of(session, GroupedDetection.family_id, family_ids),
            GroupedDetection.split == "pool",
        )
        .group_by(GroupedDetection.family_id, Image.verdict)
    )
    counts: dict[int, dict[str | None, int]] = defaultdict(dict)
    for family_id, verdict, count in rows:
        assert family_id is not None
        counts[family_id][verdict] = count
    return counts


def count_sealed(session: Session, version_id: int, threshold: float) -> dict[int | None, int]:
    """Count the false detections on sealed images by their family; None is no family."""
    rows = session.execute(
        select(GroupedDetection.family_id, func.count())
        .join(
            Detection,
            and_(
                Detection.image_id == GroupedDetection.image_id,
                Detection.model_version_id == GroupedDetection.model_version_id,
                Detection.position == GroupedDetection.position,
            ),
        )
        .join(Image, Image.id == GroupedDetection.image_id)
        .where(
            GroupedDetection.model_version_id == version_id,
            GroupedDetection.split == "negative-test",
            Detection.score >= threshold,
            is_negative(),
        )
        .group_by(GroupedDetection.family_id)
    )
    return {row[0]: row[1] for row in rows}


class ScoredByVersion(NamedTuple):
    """A version's scores of the images of a family in one split, counted."""

    family_id: int
    split: str
    version_id: int
    num_images: int
    num_errors: int  # images with a score of at least the threshold


def scores_over_versions(
    session: Session, family_ids: Sequence[int], version_ids: Sequence[int], threshold: float
) -> list[ScoredByVersion]:
    """Return how several versions scored the images of families."""
    images = (
        select(GroupedDetection.family_id, GroupedDetection.split, GroupedDetection.image_id)
        .where(is_one_of(session, GroupedDetection.family_id, family_ids))
        .distinct()
        .subquery()
    )
    rows = session.execute(
        select(
            images.c.family_id,
            images.c.split,
            ImageScore.model_version_id,
            func.count(),
            func.sum(case((ImageScore.max_score >= threshold, 1), else_=0)),
        )
        .join(ImageScore, ImageScore.image_id == images.c.image_id)
        .join(Image, Image.id == images.c.image_id)
        .where(
            ImageScore.model_version_id.in_(version_ids),
            ImageScore.ranking_key.is_not(None),
            is_negative(),
        )
        .group_by(images.c.family_id, images.c.split, ImageScore.model_version_id)
    )
    return [
        ScoredByVersion(family_id, split, version_id, num_images, int(num_errors))
        for family_id, split, version_id, num_images, num_errors in rows
    ]


def line_of(session: Session, version_id: int, limit: int) -> list[ModelVersion]:
    """Return a version with its ancestors and descendants, oldest first; of many, the newest."""
    one = select(ModelVersion.id, ModelVersion.parent_id).where(ModelVersion.id == version_id)
    others = select(ModelVersion.id, ModelVersion.parent_id)
    above = one.cte("above", recursive=True)
    above = above.union(others.join(above, ModelVersion.id == above.c.parent_id))
    below = one.cte("below", recursive=True)
    below = below.union(others.join(below, ModelVersion.parent_id == below.c.id))
    newest = session.scalars(
        select(ModelVersion)
        .where(
            or_(ModelVersion.id.in_(select(above.c.id)), ModelVersion.id.in_(select(below.c.id)))
        )
        .order_by(ModelVersion.id.desc())
        .limit(limit)
    ).all()
    return list(reversed(newest))
