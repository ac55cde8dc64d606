"""SQL for the effect of a training run on false detections."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from service.tables import Detection, GroupedDetection, Image, TrainingRunImage

SEALED_SPLIT = "negative-test"


def detections_on(
    session: Session, version_id: int, image_ids: Collection[int], threshold: float
) -> dict[int, list[Detection]]:
    """Return a version's detections on sealed images by image, highest score first."""
    wanted = set(image_ids)
    rows = session.scalars(
        select(Detection)
        .join(Image, Image.id == Detection.image_id)
        .where(
            Image.split == SEALED_SPLIT,
            Detection.model_version_id == version_id,
            Detection.score >= threshold,
        )
        .order_by(Detection.image_id, Detection.position)
    )
    found: dict[int, list[Detection]] = defaultdict(list)
    for row in rows:
        if row.image_id in wanted:
            found[row.image_id].append(row)
    return found


class DescribedBox(NamedTuple):
    """A detection of a grouping, with its vector and its family."""

    image_id: int
    position: int
    vector: bytes
    family_id: int | None


def sealed_boxes(session: Session, version_id: int) -> list[DescribedBox]:
    """Return the sealed detections of a version's last grouping."""
    return _boxes(session, version_id, SEALED_SPLIT, None)


def pool_boxes(session: Session, version_id: int, run_id: int) -> list[DescribedBox]:
    """Return the best detections on images of the pool that have a family or that a run mined."""
    return _boxes(session, version_id, "pool", run_id)


def _boxes(session: Session, version_id: int, split: str, run_id: int | None) -> list[DescribedBox]:
    statement = select(
        GroupedDetection.image_id,
        GroupedDetection.position,
        GroupedDetection.vector,
        GroupedDetection.family_id,
    ).where(GroupedDetection.model_version_id == version_id, GroupedDetection.split == split)
    if run_id is not None:
        is_mined = exists().where(
            TrainingRunImage.run_id == run_id,
            TrainingRunImage.image_id == GroupedDetection.image_id,
            TrainingRunImage.role == "mined",
        )
        statement = statement.where(or_(GroupedDetection.family_id.is_not(None), is_mined))
    rows = session.execute(statement.order_by(GroupedDetection.image_id, GroupedDetection.position))
    return [
        DescribedBox(image_id, position, vector, family_id)
        for image_id, position, vector, family_id in rows
        if vector is not None
    ]


def mined_ids(session: Session, run_id: int) -> Sequence[int]:
    """Return the images that a run mined."""
    return session.scalars(
        select(TrainingRunImage.image_id).where(
            TrainingRunImage.run_id == run_id, TrainingRunImage.role == "mined"
        )
    ).all()
