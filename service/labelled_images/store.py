"""SQL for boxes of labelled images."""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from service.tables import Image, LabelledBox


def replace_boxes(session: Session, image_id: int, boxes: Iterable[LabelledBox]) -> None:
    session.execute(delete(LabelledBox).where(LabelledBox.image_id == image_id))
    session.add_all(boxes)


def boxes_of(session: Session, image_ids: Sequence[int]) -> dict[int, list[LabelledBox]]:
    rows = session.scalars(
        select(LabelledBox)
        .where(LabelledBox.image_id.in_(image_ids))
        .order_by(LabelledBox.image_id, LabelledBox.position)
    )
    found: dict[int, list[LabelledBox]] = {image_id: [] for image_id in image_ids}
    for row in rows:
        found[row.image_id].append(row)
    return found


def class_names(session: Session) -> list[str]:
    """The classes of all boxes, in order of their names."""
    names = session.scalars(select(LabelledBox.class_name).distinct()).all()
    return sorted(names)


def count_labelled(session: Session, split: str) -> int:
    return session.scalars(
        select(func.count()).select_from(Image).where(Image.split == split)
    ).one()
