"""The family and the mined image that a false detection looks like."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from models.regions.places import NO_FAMILY, find_families
from service.effects.store import DescribedBox
from service.regions.computing import as_array


@dataclass(frozen=True, slots=True)
class Likeness:
    """
    What a false detection looks like.

    Attributes:
        family_id: the family of the version before that it falls to.
        mined_id: the mined image that it looks most like; None if no mined image is described.
        cosine: of the vectors of both, in [-1, 1].
    """

    family_id: int | None
    mined_id: int | None
    cosine: float


class MinedLooks:
    """The families of the version before and the images that a run mined, by their vectors."""

    def __init__(self, pool: Sequence[DescribedBox], mined: Iterable[int]) -> None:
        grouped = [box for box in pool if box.family_id is not None]
        wanted = set(mined)
        self._mined = [box for box in pool if box.image_id in wanted]
        self._members = as_array([box.vector for box in grouped])
        self._families = np.array([box.family_id for box in grouped], dtype=np.int64)
        self._mined_vectors = as_array([box.vector for box in self._mined])

    def likenesses(
        self, boxes: Sequence[DescribedBox], *, are_grouped: bool
    ) -> dict[tuple[int, int], Likeness]:
        """
        Return the likeness of detections by image id and position.

        With `are_grouped`, the detections were given to families by the version before already.
        """
        if not boxes:
            return {}
        vectors = as_array([box.vector for box in boxes])
        if are_grouped:
            families = [box.family_id for box in boxes]
        else:
            nearest = find_families(vectors, self._members, self._families).tolist()
            families = [None if family == NO_FAMILY else family for family in nearest]
        mined, cosines = self._nearest_mined(vectors)
        return {
            (box.image_id, box.position): Likeness(family, image_id, cosine)
            for box, family, image_id, cosine in zip(boxes, families, mined, cosines, strict=True)
        }

    def _nearest_mined(self, vectors: np.ndarray) -> tuple[list[int | None], list[float]]:
        if not self._mined:
            return [None] * len(vectors), [0.0] * len(vectors)
        cosines = np.clip(vectors @ self._mined_vectors.T, -1, 1)
        nearest = cosines.argmax(axis=1)
        return [self._mined[index].image_id for index in nearest], cosines.max(axis=1).tolist()

    def count_mined(self) -> Counter[int | None]:
        """Return how many of the mined images that are described fall to each family."""
        return Counter(box.family_id for box in self._mined)
