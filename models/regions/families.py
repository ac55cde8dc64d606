"""Families of look-alikes: region vectors that lie close together, and their places on a map."""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

CUT = 0.35  # largest mean cosine distance between two parts of a family
MAX_GROUPED = 5000  # distances of all pairs are held in memory: 100 MB for so many
NO_FAMILY = -1


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


def find_families(vectors: np.ndarray, members: np.ndarray, families: np.ndarray) -> np.ndarray:
    """
    Find the nearest family of each vector, by its mean cosine distance to the members.

    Args:
        vectors: float [M, D] of unit length.
        members: float [N, D] of unit length.
        families: int64 [N], the family of each member.

    Returns:
        int64 [M]; `NO_FAMILY` where the nearest family lies beyond `CUT`.
    """
    if len(members) == 0 or len(vectors) == 0:
        return np.full(len(vectors), NO_FAMILY, dtype=np.int64)
    centres = np.stack([members[families == each].mean(axis=0) for each in np.unique(families)])
    cosines = vectors @ centres.T  # the cosine to a mean of vectors is the mean of the cosines
    nearest = np.unique(families)[cosines.argmax(axis=1)]
    return np.where(1 - cosines.max(axis=1) <= CUT, nearest, NO_FAMILY)


def lay_out(vectors: np.ndarray) -> np.ndarray:
    """
    Place vectors on a plane by their two principal components.

    The same vectors always get the same places: each axis points to where its largest weight is
    positive.

    Args:
        vectors: float [N, D].

    Returns:
        float64 [N, 2], centred on 0.
    """
    if len(vectors) == 0:
        return np.zeros((0, 2))
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)  # in ascending order of variance
    axes = axes[:, :-3:-1]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
    places: np.ndarray = centred @ axes
    return places


def _number_by_first(labels: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    ranks = np.empty(len(first), dtype=np.int64)
    ranks[np.argsort(first)] = np.arange(len(first))
    numbered: np.ndarray = ranks[inverse]
    return numbered
