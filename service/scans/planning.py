"""The cut of the images that a version has not scored into ranges."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from service.db import Sessions
from service.scans import store
from service.scans.store import IdRange, Scan
from service.scoring import store as score_store

LARGEST, SMALLEST = 1024, 64  # images of a range: seconds of work, and a few batches at least
FEWEST_RANGES = 64  # of a large scan, so that several processes end at about the same time
CHUNK = 100_000  # ids that one transaction looks through, in about 0.1 s


def range_size(num_images: int) -> int:
    """Return how many images the ranges of a scan of so many images have."""
    return min(max(num_images // FEWEST_RANGES, SMALLEST), LARGEST)


def cut_into_ranges(
    read_sessions: Sessions,
    scan: Scan,
    splits: Sequence[str],
    size: int,
    *,
    stored_before: datetime | None = None,
    before_chunk: Callable[[], None] = lambda: None,
) -> Iterator[list[IdRange]]:
    """
    Yield the ranges that a scan still lacks, a chunk of each split at a time.

    Args:
        read_sessions: each chunk has a transaction of its own.
        scan: only ids after its planned ranges are cut; keep what is yielded.
        splits: the splits to score.
        size: images of a range.
        stored_before: leave out what is newer.
        before_chunk: may raise Stopped.
    """
    with read_sessions.begin() as session:
        newest_id = score_store.newest_image_id(session)
        after_ids = [(split, store.planned_until(session, scan, split)) for split in splits]
    for split, after_id in after_ids:
        while after_id < newest_id:
            before_chunk()
            until_id = min(after_id + CHUNK, newest_id)
            with read_sessions.begin() as session:
                ids = store.unscored_ids(
                    session,
                    scan.version_id,
                    split,
                    after_id=after_id,
                    until_id=until_id,
                    stored_before=stored_before,
                )
            if ids:
                bounds = [ids[0] - 1, *ids[size - 1 :: size]]
                if bounds[-1] != ids[-1]:
                    bounds.append(ids[-1])
                yield [IdRange(split, *pair) for pair in pairwise(bounds)]
            after_id = until_id
