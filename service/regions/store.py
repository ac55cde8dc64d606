"""SQL for region vectors."""

import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.db import insert_rows, is_one_of
from service.tables import Image, RegionVector

PixelBox = tuple[float, float, float, float]  # xyxy in pixels of the upright image
VectorsByBox = Mapping[bytes, bytes]


def box_key(box: PixelBox) -> bytes:
    """Return the key that a box is stored under."""
    return struct.pack("<4f", *box)


def find_vectors(
    session: Session, network: str, image_ids: Sequence[int]
) -> dict[int, dict[bytes, bytes]]:
    """Return the stored vectors of images by one network, by image id and box."""
    rows = session.execute(
        select(RegionVector.image_id, RegionVector.box, RegionVector.vector).where(
            is_one_of(session, RegionVector.image_id, image_ids), RegionVector.network == network
        )
    )
    found: dict[int, dict[bytes, bytes]] = defaultdict(dict)
    for image_id, box, vector in rows:
        found[image_id][box] = vector
    return found


def replace_vectors(session: Session, network: str, vectors: Mapping[int, VectorsByBox]) -> None:
    """
    Store the vectors of images, in place of those of other boxes and other networks.

    So an image has no more vectors than one version has asked for. Images that were deleted
    meanwhile are skipped.
    """
    if not vectors:
        return
    image_ids = session.scalars(
        select(Image.id)
        .where(is_one_of(session, Image.id, vectors))
        .order_by(Image.id)
        .with_for_update(read=True, key_share=True)  # no one deletes them before the commit
    ).all()
    session.execute(
        delete(RegionVector).where(is_one_of(session, RegionVector.image_id, image_ids))
    )
    rows: list[dict[str, object]] = [
        {"image_id": image_id, "network": network, "box": box, "vector": vector}
        for image_id in image_ids
        for box, vector in vectors[image_id].items()
    ]
    insert_rows(session, RegionVector, rows)  # another process may save the same ones meanwhile
