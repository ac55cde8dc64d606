"""Families of look-alikes: region vectors that lie close together."""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from models.regions.places import CUT

MAX_GROUPED = 5000  # distances of all pairs are held in memory: 100 MB for so many


def group(vectors: np.ndarray) -> np.ndarray:
    """
    Group vectors into families, by average linkage on cosine distance.

    Args:
        vectors: float [N, D] of unit length, N up to `MAX_GROUPED`.

    Returns:
        int64 [N], the family of each vector. Families are numbered from 0 in the order of their
        first members, so vectors in order of score give families in order of their best score.
    """
    if len(vectors) > MAX_GROUPED:
        raise ValueError(f"at most {MAX_GROUPED} vectors can be grouped, not {len(vectors)}")
    if len(vectors) < 2:
        return np.zeros(len(vectors), dtype=np.int64)
    distances = np.clip(1 - vectors @ vectors.T, 0, 2).astype(np.float64)
    tree = linkage(squareform(distances, checks=False), method="average")
    return _number_by_first(fcluster(tree, CUT, criterion="distance"))


def _number_by_first(labels: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    ranks = np.empty(len(first), dtype=np.int64)
    ranks[np.argsort(first)] = np.arange(len(first))
    numbered: np.ndarray = ranks[inverse]
    return numbered
