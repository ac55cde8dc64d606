"""The labelled boxes that look most like a detection, by their stored region vectors."""

from collections.abc import Mapping

import numpy as np
from sqlalchemy.orm import Session

from hardneg.schemas.hold_test import NearestBox
from hardneg.schemas.images import Box
from service.holding import store
from service.holding.evidence import MAX_LABELLED_IMAGES
from service.images import store as image_store
from service.images.views import image_out
from service.labelled_images import store as labelled_store
from service.regions import store as region_store
from service.regions.computing import as_array
from service.regions.store import box_key
from service.tables import Detection, LabelledBox


def nearest_boxes(
    session: Session, network: str, detected: Mapping[int, Detection], count: int
) -> dict[int, list[NearestBox]]:
    """
    Return the labelled boxes most like the detection on each image, by image id.

    Compared are the boxes that the hold test compares with, as far as their vectors by the region
    network of this digest are stored. Images whose own vector is not stored are absent.
    """
    stored = region_store.find_vectors(session, network, list(detected))
    known = {
        image_id: stored[image_id][key]
        for image_id, found in detected.items()
        if (key := _key(found)) in stored.get(image_id, {})
    }
    boxes, vectors = _labelled_boxes(session, network) if known and count else ([], [])
    if not boxes:
        return {}
    cosines = as_array(list(known.values())) @ as_array(vectors).T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    images = image_store.find_by_ids(session, [boxes[at].image_id for at in np.unique(order)])
    return {
        image_id: [
            NearestBox(
                similarity=float(np.clip(cosines[row, at], -1, 1)),
                label=boxes[at].class_name,
                box=Box(x1=boxes[at].x1, y1=boxes[at].y1, x2=boxes[at].x2, y2=boxes[at].y2),
                image=image_out(images[boxes[at].image_id]),
            )
            for at in order[row]
        ]
        for row, image_id in enumerate(known)
    }


def _labelled_boxes(session: Session, network: str) -> tuple[list[LabelledBox], list[bytes]]:
    """Return the labelled boxes whose vectors are stored, and these vectors."""
    image_ids = [image.id for image in store.labelled_images(session, MAX_LABELLED_IMAGES)]
    stored = region_store.find_vectors(session, network, image_ids)
    rows = labelled_store.boxes_of(session, image_ids)
    found = [
        (box, vector)
        for image_id in image_ids
        for box in rows[image_id]
        if (vector := stored.get(image_id, {}).get(_key(box))) is not None
    ]
    return [box for box, _ in found], [vector for _, vector in found]


def _key(box: Detection | LabelledBox) -> bytes:
    return box_key((box.x1, box.y1, box.x2, box.y2))
