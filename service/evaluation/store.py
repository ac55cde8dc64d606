"""SQL for the images that versions are measured on, their detections and their figures."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import exists, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.images.store import is_negative
from service.tables import (
    Detection,
    Image,
    ImageScore,
    VersionEvaluation,
    utc_now,
)


def scored_ids(session: Session, split: str, version_ids: Sequence[int]) -> list[int]:
    """
    Return the ids of a split's images that all these versions have scored, sorted.

    Left out are images on which one of them failed, and those judged to contain an object.
    """
    statement = select(Image.id).where(Image.split == split, is_negative())
    for version_id in version_ids:
        statement = statement.where(
            exists().where(
                ImageScore.image_id == Image.id,
                ImageScore.model_version_id == version_id,
                ImageScore.failure.is_(None),
            )
        )
    return list(session.scalars(statement.order_by(Image.id)))


def detections_in(
    session: Session, version_id: int, splits: Sequence[str]
) -> dict[int, list[Detection]]:
    """Return a version's detections by image id, each image's highest score first."""
    rows = session.scalars(
        select(Detection)
        .join(Image, Image.id == Detection.image_id)
        .where(Detection.model_version_id == version_id, Image.split.in_(splits))
        .order_by(Detection.image_id, Detection.position)
    )
    found: dict[int, list[Detection]] = defaultdict(list)
    for row in rows:
        found[row.image_id].append(row)
    return found


class FoundClass(NamedTuple):
    """A detection without its box."""

    image_id: int
    label: int
    score: float


def classes_found_in(session: Session, version_id: int, split: str) -> list[FoundClass]:
    """Return a version's detections in order of image, each image's highest score first."""
    rows = session.execute(
        select(Detection.image_id, Detection.label, Detection.score)
        .join(Image, Image.id == Detection.image_id)
        .where(Detection.model_version_id == version_id, Image.split == split)
        .order_by(Detection.image_id, Detection.position)
    )
    return [FoundClass(*row) for row in rows]


def save_evaluation(session: Session, version_id: int, figures: Mapping[str, object]) -> None:
    """Save the figures of a version, in place of its earlier ones."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(VersionEvaluation).values(
        model_version_id=version_id, figures=dict(figures), evaluated_at=utc_now()
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["model_version_id"],
            set_={name: statement.excluded[name] for name in ("figures", "evaluated_at")},
        )
    )


def save_preprocessing_warning(
    session: Session, version_id: int, warning: Mapping[str, object] | None
) -> None:
    """Save what looks wrong with the preprocessing of a version that was measured before."""
    session.execute(
        update(VersionEvaluation)
        .where(VersionEvaluation.model_version_id == version_id)
        .values(preprocessing_warning=None if warning is None else dict(warning))
    )
