"""SQL for labelled images and their boxes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from service.tables import Image, LabelledBox


def replace_boxes(session: Session, image_id: int, boxes: Sequence[Mapping[str, object]]) -> None:
    session.execute(delete(LabelledBox).where(LabelledBox.image_id == image_id))
    if boxes:
        session.execute(insert(LabelledBox), [{**box, "image_id": image_id} for box in boxes])


def images_in(session: Session, split: str) -> Sequence[Image]:
    """Return the images of a split in order of id."""
    return session.scalars(select(Image).where(Image.split == split).order_by(Image.id)).all()


def digests_in(session: Session, split: str) -> list[tuple[int, str]]:
    """Return the id and the digest of each image of a split, in order of id."""
    rows = session.execute(
        select(Image.id, Image.sha256).where(Image.split == split).order_by(Image.id)
    )
    return [(row[0], row[1]) for row in rows]


def boxes_of(session: Session, image_ids: Sequence[int]) -> dict[int, list[LabelledBox]]:
    """Return the boxes of each of these images; an image without boxes has an empty list."""
    rows = session.scalars(
        select(LabelledBox)
        .where(LabelledBox.image_id.in_(image_ids))
        .order_by(LabelledBox.image_id, LabelledBox.position)
    )
    found: dict[int, list[LabelledBox]] = {image_id: [] for image_id in image_ids}
    for row in rows:
        found[row.image_id].append(row)
    return found


def boxes_in(session: Session, split: str) -> dict[int, list[LabelledBox]]:
    """Return the boxes of a split by image id; an image without boxes has no entry."""
    rows = session.scalars(
        select(LabelledBox)
        .join(Image, Image.id == LabelledBox.image_id)
        .where(Image.split == split)
        .order_by(LabelledBox.image_id, LabelledBox.position)
    )
    found: dict[int, list[LabelledBox]] = defaultdict(list)
    for row in rows:
        found[row.image_id].append(row)
    return found


def class_names_in(session: Session, split: str) -> list[str]:
    """Return the classes of the boxes of a split, sorted by name."""
    names = session.scalars(
        select(LabelledBox.class_name)
        .join(Image, Image.id == LabelledBox.image_id)
        .where(Image.split == split)
        .distinct()
    )
    return sorted(names)
