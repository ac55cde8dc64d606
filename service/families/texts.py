"""Groupings in words, for the history of a job."""

from collections.abc import Sequence


def grouped_text(sizes: Sequence[int]) -> str:
    """Return how many images form how many families, given the families' sizes."""
    return (
        f"{sum(sizes)} images form {len(sizes)} families; the largest has {max(sizes, default=0)}"
    )


def duplicates_text(num_duplicates: int) -> str:
    """Return how many images of the pool are copies of an earlier one."""
    return f"{num_duplicates} images of the pool are near-duplicates of an earlier one"
