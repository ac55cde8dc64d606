"""Region vectors of stored images: read where they are known, else computed and stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.data.images import UnreadableImageError
from models.regions.network import VECTOR_LENGTH, RegionNetwork
from service.regions import image_vectors, store
from service.regions.store import PixelBox, box_key
from service.scoring.resources import Resources

STORED_DTYPE = np.dtype("<f2")
WINDOW = 32  # images whose vectors are saved in one transaction


@dataclass(frozen=True, slots=True)
class BoxedImage:
    """A stored image and the boxes on it that vectors are wanted for."""

    id: int
    blob_key: str
    boxes: tuple[PixelBox, ...]


OnProgress = Callable[[int, int], None]  # images done, and all


def region_vectors(
    resources: Resources,
    network: RegionNetwork,
    images: Sequence[BoxedImage],
    on_progress: OnProgress,
) -> dict[int, np.ndarray]:
    """
    Return the vectors of the boxes of each image, float32 [N, 432], by image id.

    The vector of the whole image is computed and stored with them.

    Images whose bytes are gone or damaged are left out: nothing else can be done with them either.
    `on_progress` is called before each image that is computed, and may raise to stop the work.
    """
    vectors: dict[int, np.ndarray] = {}
    for start in range(0, len(images), WINDOW):
        window = images[start : start + WINDOW]
        with resources.read_sessions.begin() as session:
            ids = [image.id for image in window]
            known = store.find_vectors(session, network.digest, ids)
            described = image_vectors.find_described(session, network.digest, ids)
        computed: dict[int, dict[bytes, bytes]] = {}
        whole: dict[int, bytes] = {}
        for number, image in enumerate(window, start):
            stored = known.get(image.id, {})
            has_all = image.id in described and all(box_key(box) in stored for box in image.boxes)
            if not has_all:
                on_progress(number, len(images))
                found = _compute(resources, network, image)
                if found is None:
                    continue
                stored, whole[image.id] = found
                computed[image.id] = stored
            vectors[image.id] = as_array([stored[box_key(box)] for box in image.boxes])
        with resources.sessions.begin() as session:
            store.replace_vectors(session, network.digest, computed)
            image_vectors.save_vectors(session, network.digest, whole)
    return vectors


def _compute(
    resources: Resources, network: RegionNetwork, image: BoxedImage
) -> tuple[dict[bytes, bytes], bytes] | None:
    """Return the stored forms of an image's vectors, by box and whole; None if it is unreadable."""
    try:
        described = network.describe_file(
            resources.blobs.get(image.blob_key),
            torch.tensor(image.boxes, dtype=torch.float32).reshape(-1, 4),
            max_pixels=resources.settings.max_pixels,
        )
    except (FileNotFoundError, UnreadableImageError):
        return None
    rows = described.regions.numpy().astype(STORED_DTYPE)
    by_box = {box_key(box): row.tobytes() for box, row in zip(image.boxes, rows, strict=True)}
    return by_box, described.image.numpy().astype(STORED_DTYPE).tobytes()


def as_array(stored: Sequence[bytes]) -> np.ndarray:
    """Return stored vectors as float32 [N, 432]."""
    array = np.frombuffer(b"".join(stored), STORED_DTYPE).astype(np.float32)
    return array.reshape(-1, VECTOR_LENGTH)
