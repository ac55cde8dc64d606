"""The order in which images are scored by a version that begins to serve."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from service.db import Sessions
from service.scoring import store
from service.scoring.splits import MEASURED_SPLITS, RANKED_SPLIT, SCORED_SPLITS
from service.serving.store import version_before
from service.tables import Image

RANGE = 100_000  # ids that one transaction looks through, in about 0.1 s


def images_in_order(
    sessions: Sessions, version_id: int, page_size: int
) -> Iterator[Sequence[Image]]:
    """
    Yield the images without a score by a version, those first that will head its list.

    First come the pool's images that the version before it has not ranked, of which nothing is
    known; then the others by its scores, worst first, since what one version ranks high, the next
    one mostly does, too; then the other splits. Where more than half of the pool is scored already,
    all come in order of id.
    """
    with sessions.begin() as session:
        before = version_before(session, version_id)
        is_mostly_scored = _is_mostly_scored(session, version_id)
    if before is None or is_mostly_scored:
        yield from images_by_id(sessions, version_id, page_size)
        return
    with sessions.begin() as session:
        ranks_all = store.ranks_all(session, before)
    if not ranks_all:
        yield from images_by_id(
            sessions, version_id, page_size, splits=[RANKED_SPLIT], unranked_by=before
        )
    yield from _by_scores(sessions, version_id, page_size, before)
    yield from images_by_id(sessions, version_id, page_size, splits=MEASURED_SPLITS)


def images_by_id(
    sessions: Sessions,
    version_id: int,
    page_size: int,
    *,
    splits: Sequence[str] = SCORED_SPLITS,
    after_id: int = 0,
    stored_before: datetime | None = None,
    unranked_by: int | None = None,
) -> Iterator[Sequence[Image]]:
    """
    Yield the images without a score by a version, in order of id.

    Args:
        sessions: for reading; each page has a transaction of its own.
        version_id: the version.
        page_size: images of a page at most.
        splits: look at these only.
        after_id: look at later ids only.
        stored_before: leave out what is newer.
        unranked_by: yield only what this version has not ranked, either.
    """
    while True:
        with sessions.begin() as session:
            newest_id = store.newest_image_id(session)
            until_id = min(after_id + RANGE, newest_id)
            images = store.unscored_images(
                session,
                version_id,
                after_id=after_id,
                until_id=until_id,
                limit=page_size,
                stored_before=stored_before,
                splits=splits,
                unranked_by=unranked_by,
            )
        if images:
            yield images
            after_id = images[-1].id
        elif until_id >= newest_id:
            return
        else:
            after_id = until_id


def _by_scores(
    sessions: Sessions, version_id: int, page_size: int, before: int
) -> Iterator[Sequence[Image]]:
    """Yield the pool's images without a score by a version, in the order of another one's list."""
    after: tuple[float, int] | None = None
    while True:
        with sessions.begin() as session:
            rows = store.unscored_by_rank(session, version_id, before, after=after, limit=page_size)
        if not rows:
            return
        yield [image for image, _ in rows]
        image, ranking_key = rows[-1]
        after = ranking_key, image.id


def _is_mostly_scored(session: Session, version_id: int) -> bool:
    counts = store.scored_counts(session, version_id, RANKED_SPLIT)
    return 2 * counts.scored > counts.images
