"""The ranked list with one image of each group of near-duplicates."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy.orm import Session

from service.hard_negatives import store
from service.hard_negatives.cursor import Cursor
from service.hard_negatives.store import Filters, RankedImage
from service.regions import image_vectors

READ_AT_ONCE = 200


class BestCopy(NamedTuple):
    """The worst-ranked of near-duplicates that pass the filters, and how many others do."""

    image_id: int
    num_others: int


def collapsed_images(
    session: Session, version_id: int, filters: Filters, after: Cursor | None, limit: int
) -> tuple[list[RankedImage], dict[int, int]]:
    """
    Return images worst first, of near-duplicates only the worst, and how many each stands for.

    Which image of a group is shown depends on the filters, but not on where a page begins. The
    counts are by image id; images without near-duplicates have none.
    """
    shown: list[RankedImage] = []
    best: dict[int, BestCopy] = {}
    size = max(limit, READ_AT_ONCE)
    while len(shown) < limit:
        part = store.hardest_images(session, version_id, filters, after, size)
        originals = image_vectors.originals_of(session, [image.id for image in part])
        unknown = set(originals.values()) - best.keys()
        best |= _find_best(session, version_id, filters, unknown)
        for image in part:
            original = originals.get(image.id)
            if original is None or best[original].image_id == image.id:
                shown.append(image)
        if len(part) < size:
            break
        after = Cursor(version_id, part[-1].ranking_key, part[-1].id, 1)
    counts = {copy.image_id: copy.num_others for copy in best.values()}
    return shown[:limit], counts


def _find_best(
    session: Session, version_id: int, filters: Filters, original_ids: Collection[int]
) -> dict[int, BestCopy]:
    """Return the worst copy of each original that passes the filters."""
    copies = image_vectors.duplicates_of(session, original_ids)
    original_of = {image_id: original for original, ids in copies.items() for image_id in ids}
    ranked = store.hardest_images(
        session, version_id, filters, None, len(original_of), among=list(original_of)
    )
    best: dict[int, BestCopy] = {}
    for image in ranked:
        original = original_of[image.id]
        worst, num_others = best.get(original, BestCopy(image.id, -1))
        best[original] = BestCopy(worst, num_others + 1)
    return best
