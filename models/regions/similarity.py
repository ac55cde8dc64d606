"""Similarity of vectors to the nearest ones of a set."""

import numpy as np

NUM_NEIGHBOURS = 5


def mean_similarity(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """
    Return the mean cosine of each vector to the five nearest of the others, or to all of fewer.

    Args:
        vectors: float [N, D] of unit length.
        others: float [M, D] of unit length, M > 0.

    Returns:
        float [N] in [-1, 1].
    """
    cosines = vectors @ others.T
    count = min(NUM_NEIGHBOURS, len(others))
    nearest = np.partition(cosines, -count, axis=1)[:, -count:]
    means: np.ndarray = nearest.mean(axis=1)
    return means
