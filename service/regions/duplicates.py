"""Near-duplicates in the pool, found by the vectors of whole images."""

from collections import Counter

import numpy as np

from models.regions.duplicates import find_originals
from models.regions.network import IMAGE_VECTOR_LENGTH
from service.regions import image_vectors
from service.regions.computing import STORED_DTYPE
from service.scoring.resources import Resources

MAX_COMPARED = 20_000  # images; each is compared with every original


def mark_duplicates(resources: Resources, network: str) -> int:
    """
    Mark the near-duplicates among the pool's images that have vectors by a network.

    Of more than `MAX_COMPARED` images, those that were stored first are compared. Returns how many
    images are copies of an earlier one.
    """
    with resources.read_sessions.begin() as session:
        stored = image_vectors.vectors_in_pool(session, network, MAX_COMPARED)
    rows = np.frombuffer(b"".join(image.vector for image in stored), STORED_DTYPE)
    vectors = rows.astype(np.float32).reshape(-1, IMAGE_VECTOR_LENGTH)
    found = [stored[position].image_id for position in find_originals(vectors)]
    sizes = Counter(found)
    originals = {
        image.image_id: original if sizes[original] > 1 else None
        for image, original in zip(stored, found, strict=True)
    }
    changes = {
        image.image_id: originals[image.image_id]
        for image in stored
        if image.original_id != originals[image.image_id]
    }
    if changes:
        with resources.sessions.begin() as session:
            image_vectors.save_originals(session, changes)
    return len(found) - len(sizes)
