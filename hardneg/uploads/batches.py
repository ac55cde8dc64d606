"""Uploads in batches that the service takes: few files, few bytes, again where a line breaks."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from hardneg.client import Refused, Unreachable

BATCH_FILES = 32
BATCH_BYTES = 16 * 1024**2
RETRY_PAUSES_S = (0.5, 1.0, 2.0)

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_batches(items: Iterable[Item], size_bytes: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Up to a number of files and of bytes; a larger file goes alone."""
    batch: list[Item] = []
    batch_bytes = 0
    for item in items:
        item_bytes = size_bytes(item)
        if batch and (len(batch) == BATCH_FILES or batch_bytes + item_bytes > BATCH_BYTES):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += item_bytes
    if batch:
        yield batch


def file_size_bytes(path: Path) -> int:
    """0 for a file that can't be looked at: reading it will tell why."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def send_batch(
    send: Callable[[Sequence[Item]], list[Result]], batch: Sequence[Item]
) -> list[Result]:
    """
    Halves a batch that the service finds too large.

    Raises ClientError, also Refused for a single item that is too large.
    """
    try:
        return _send_again(send, batch)
    except Refused as error:
        if error.problem.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE or len(batch) == 1:
            raise
        half = len(batch) // 2
        return send_batch(send, batch[:half]) + send_batch(send, batch[half:])


def _send_again(
    send: Callable[[Sequence[Item]], list[Result]], batch: Sequence[Item]
) -> list[Result]:
    """Sends once more where the connection breaks: what went in already is known then."""
    for pause_s in RETRY_PAUSES_S:
        try:
            return send(batch)
        except Unreachable:
            time.sleep(pause_s)
    return send(batch)
