"""Uploads in batches of bounded size, sent again when the connection breaks."""

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
    """Group items into batches of at most 32 files and 16 MB; a larger file makes a batch alone."""
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
    """Return the size of a file; 0 if it cannot be looked at, as reading it will report."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def send_batch(
    send: Callable[[Sequence[Item]], list[Result]], batch: Sequence[Item]
) -> list[Result]:
    """
    Send a batch, and send its halves if the service finds it too large.

    Raises:
        Refused: The service refused the batch, or finds a single item too large.
        ClientError: The service went away.
    """
    try:
        return _send_with_retries(send, batch)
    except Refused as error:
        if error.problem.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE or len(batch) == 1:
            raise
        half = len(batch) // 2
        return send_batch(send, batch[:half]) + send_batch(send, batch[half:])


def _send_with_retries(
    send: Callable[[Sequence[Item]], list[Result]], batch: Sequence[Item]
) -> list[Result]:
    """Send a batch again when the connection breaks; the service knows files it has stored."""
    for pause_s in RETRY_PAUSES_S:
        try:
            return send(batch)
        except Unreachable:
            time.sleep(pause_s)
    return send(batch)
