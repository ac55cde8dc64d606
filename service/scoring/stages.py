"""Stages of work that overlap."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def behind(items: Iterable[T]) -> Iterator[T]:
    """
    The same items, each when the one after it has been taken, too.

    What taking an item has begun, in other threads, goes on while the one before is worked on.
    """
    waiting: list[T] = []
    for item in items:
        yield from waiting
        waiting = [item]
    yield from waiting
