"""Families of look-alikes: the nearest one of a vector, and the places of vectors on a map."""

import numpy as np

CUT = 0.35  # largest mean cosine distance between two parts of a family
NO_FAMILY = -1


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
