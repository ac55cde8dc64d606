"""The grouping of a version's hardest images into families of look-alikes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from models.regions.families import MAX_GROUPED, group
from models.regions.network import VECTOR_LENGTH, RegionNetwork
from models.regions.places import NO_FAMILY, find_families, lay_out
from service.families import store
from service.families.store import GroupedBox
from service.holding import store as hold_store
from service.jobs.running import RunningJob
from service.regions.computing import STORED_DTYPE, BoxedImage, region_vectors
from service.regions.duplicates import mark_duplicates
from service.scoring.resources import Resources
from service.scoring.splits import RANKED_SPLIT
from service.tables import FamilyGrouping

MAX_SEALED_IMAGES = 500
SEALED_SPLIT = "negative-test"


@dataclass(frozen=True, slots=True)
class Grouped:
    """
    The result of a grouping.

    Attributes:
        families: the family of each grouped image by its id; family 0 has the best score.
        num_mapped: images of the pool on the map, the grouped ones included.
        num_sealed: sealed images that were compared with the families.
        num_duplicates: images of the pool that are near-duplicates of an earlier one.
    """

    families: Mapping[int, int]
    num_mapped: int
    num_sealed: int
    num_duplicates: int

    @property
    def sizes(self) -> list[int]:
        """Return the number of images of each family, in order."""
        counts = Counter(self.families.values())
        return [counts[family] for family in sorted(counts)]


def group_images(
    job: RunningJob,
    resources: Resources,
    version_id: int,
    *,
    num_images: int,
    num_mapped: int,
    stage: str,
) -> Grouped:
    """
    Group a version's hardest images by their best detections, and save the grouping.

    The images are those that a retraining could mine: in the pool, with a detection, not judged to
    contain an object, and not in the list that the version was trained on. Detections on sealed
    images are given to the nearest family. The `num_mapped` hardest images, whatever is known of
    them, get a place on the map.

    Raises Stopped; vectors computed so far are stored.
    """

    def on_progress(num_done: int, num_total: int) -> None:
        job.raise_if_stopped()
        job.progress(stage, num_done, num_total)

    network = RegionNetwork()
    with resources.read_sessions.begin() as session:
        images = _find_images(session, version_id, min(num_images, MAX_GROUPED), num_mapped)
    pool = region_vectors(resources, network, images.pool, on_progress)
    sealed = region_vectors(resources, network, images.sealed, on_progress)
    families, boxes = _group(pool, sealed, images.grouped_ids)
    grouping = FamilyGrouping(
        model_version_id=version_id,
        network=network.digest,
        num_images=len(families),
        num_mapped=len(pool),
    )
    with resources.sessions.begin() as session:
        store.save_grouping(session, grouping, boxes)
    return Grouped(
        families,
        num_mapped=len(pool),
        num_sealed=len(sealed),
        num_duplicates=mark_duplicates(resources, network.digest),
    )


@dataclass(frozen=True, slots=True)
class _ImagesToPlace:
    grouped_ids: list[int]  # worst first
    pool: list[BoxedImage]  # to be grouped or mapped, the best detection of each first
    sealed: list[BoxedImage]


def _find_images(
    session: Session, version_id: int, num_images: int, num_mapped: int
) -> _ImagesToPlace:
    grouped_ids = store.hardest_minable(session, version_id, num_images)
    mapped_ids = store.hardest_detected(session, version_id, num_mapped)
    pool_ids = list(dict.fromkeys([*grouped_ids, *mapped_ids]))
    sealed_ids = hold_store.sealed_ids(session, version_id, MAX_SEALED_IMAGES)
    return _ImagesToPlace(
        grouped_ids,
        hold_store.detected_images(session, version_id, pool_ids),
        hold_store.detected_images(session, version_id, sealed_ids),
    )


def _group(
    pool: Mapping[int, np.ndarray], sealed: Mapping[int, np.ndarray], grouped_ids: Sequence[int]
) -> tuple[dict[int, int], list[GroupedBox]]:
    """Return the family of each grouped image, and every detection with its place on the map."""
    known = [image_id for image_id in grouped_ids if image_id in pool]
    members = _stack([pool[image_id][:1] for image_id in known])
    numbers = group(members)
    families = dict(zip(known, numbers.tolist(), strict=True))
    best, others = _stack([found[:1] for found in pool.values()]), _stack(list(sealed.values()))
    keys = [(image_id, 0, RANKED_SPLIT) for image_id in pool]
    keys += [
        (image_id, position, SEALED_SPLIT)
        for image_id, found in sealed.items()
        for position in range(len(found))
    ]
    found_in = [families.get(image_id, NO_FAMILY) for image_id in pool]
    found_in += find_families(others, members, numbers).tolist()
    rows = np.concatenate([best, others])
    vectors = rows.astype(STORED_DTYPE)
    places = lay_out(rows).tolist()
    boxes = [
        GroupedBox(
            *key,
            family=None if family == NO_FAMILY else family,
            vector=vector.tobytes(),
            x=x,
            y=y,
        )
        for key, family, vector, (x, y) in zip(keys, found_in, vectors, places, strict=True)
    ]
    return families, boxes


def _stack(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, VECTOR_LENGTH), np.float32), *rows])
