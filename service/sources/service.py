"""Sources of images with their counts, as clients see them."""

from itertools import groupby

from sqlalchemy.orm import Session

from hardneg.schemas.sources import SourceOut, SourcePage, SplitCounts
from service.sources import store
from service.sources.store import CountedSplit


def list_sources(session: Session, after: str | None, limit: int) -> SourcePage:
    """Return a page of sources in order of their names."""
    names = store.source_names(session, after, limit + 1)
    counts = store.count_splits(session, names[:limit])
    by_source = groupby(counts, lambda row: row.source)
    return SourcePage(
        items=[_source_out(source, list(splits)) for source, splits in by_source],
        next_after=names[limit - 1] if len(names) > limit else None,
    )


def _source_out(source: str, splits: list[CountedSplit]) -> SourceOut:
    counts = {row.split.replace("-", "_"): row.num_images for row in splits}
    return SourceOut(
        source=source,
        num_images=sum(row.num_images for row in splits),
        splits=SplitCounts(**counts),
        num_judged=sum(row.num_judged for row in splits),
        newest_at=max(row.newest_at for row in splits),
    )
