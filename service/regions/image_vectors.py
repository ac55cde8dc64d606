"""SQL for vectors of whole images, and for the near-duplicates that they show."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.db import insert_rows, is_one_of
from service.tables import Image, ImageVector


def find_described(session: Session, network: str, image_ids: Sequence[int]) -> set[int]:
    """Return those of some images that have a vector by a network."""
    return set(
        session.scalars(
            select(ImageVector.image_id).where(
                is_one_of(session, ImageVector.image_id, image_ids), ImageVector.network == network
            )
        )
    )


def save_vectors(session: Session, network: str, vectors: Mapping[int, bytes]) -> None:
    """Store the vectors of images; those that were deleted meanwhile are skipped."""
    if not vectors:
        return
    image_ids = session.scalars(
        select(Image.id)
        .where(is_one_of(session, Image.id, vectors))
        .order_by(Image.id)
        .with_for_update(read=True, key_share=True)  # no one deletes them before the commit
    )
    rows: list[dict[str, object]] = [
        {"image_id": image_id, "network": network, "vector": vectors[image_id]}
        for image_id in image_ids
    ]
    insert_rows(session, ImageVector, rows, overwrite=("network", "vector"))


class StoredVector(NamedTuple):
    """The vector of a whole image, and the original that it was found to have."""

    image_id: int
    vector: bytes
    original_id: int | None


def vectors_in_pool(session: Session, network: str, limit: int) -> list[StoredVector]:
    """Return the vectors of the pool's first images that have one, in order of id."""
    rows = session.execute(
        select(ImageVector.image_id, ImageVector.vector, ImageVector.original_id)
        .join(Image, Image.id == ImageVector.image_id)
        .where(ImageVector.network == network, Image.split == "pool")
        .order_by(ImageVector.image_id)
        .limit(limit)
    )
    return [StoredVector(*row) for row in rows]


def save_originals(session: Session, originals: Mapping[int, int | None]) -> None:
    """Set the originals of images, by image id; None is that of an image without duplicates."""
    session.execute(
        select(ImageVector.image_id)
        .where(is_one_of(session, ImageVector.image_id, originals))
        .order_by(ImageVector.image_id)
        .with_for_update()  # in one order, so that two jobs do not wait for each other
    ).all()
    image_ids: dict[int | None, list[int]] = defaultdict(list)
    for image_id, original_id in originals.items():
        image_ids[original_id].append(image_id)
    for original_id, copies in image_ids.items():
        session.execute(
            update(ImageVector)
            .where(is_one_of(session, ImageVector.image_id, copies))
            .values(original_id=original_id)
        )


def originals_of(session: Session, image_ids: Collection[int]) -> dict[int, int]:
    """Return the original of each image that has near-duplicates, by image id."""
    rows = session.execute(
        select(ImageVector.image_id, ImageVector.original_id).where(
            is_one_of(session, ImageVector.image_id, image_ids),
            ImageVector.original_id.is_not(None),
        )
    )
    return {image_id: original_id for image_id, original_id in rows if original_id is not None}


def all_originals(session: Session) -> dict[int, int]:
    """Return the original of every image that has near-duplicates, by image id."""
    rows = session.execute(
        select(ImageVector.image_id, ImageVector.original_id).where(
            ImageVector.original_id.is_not(None)
        )
    )
    return {image_id: original_id for image_id, original_id in rows if original_id is not None}


def duplicates_of(session: Session, original_ids: Collection[int]) -> dict[int, list[int]]:
    """Return the images with some originals, by original and in order of id."""
    rows = session.execute(
        select(ImageVector.original_id, ImageVector.image_id)
        .where(is_one_of(session, ImageVector.original_id, original_ids))
        .order_by(ImageVector.image_id)
    )
    found: dict[int, list[int]] = defaultdict(list)
    for original_id, image_id in rows:
        if original_id is not None:
            found[original_id].append(image_id)
    return found
