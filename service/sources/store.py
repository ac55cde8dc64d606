"""SQL for the sources of images."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.tables import Image


class CountedSplit(NamedTuple):
    """The images of one source in one split."""

    source: str
    split: str
    num_images: int
    num_judged: int
    newest_at: datetime


def source_names(session: Session, after: str | None, limit: int) -> Sequence[str]:
    """Return the first sources whose names come after one, in order."""
    names = select(Image.source).distinct().order_by(Image.source).limit(limit)
    if after is not None:
        names = names.where(Image.source > after)
    return session.scalars(names).all()


def count_splits(session: Session, sources: Sequence[str]) -> list[CountedSplit]:
    """Count the images of sources by split, in order of the sources' names."""
    rows = session.execute(
        select(
            Image.source,
            Image.split,
            func.count(),
            func.count(Image.verdict),
            func.max(Image.created_at),
        )
        .where(Image.source.in_(sources))
        .group_by(Image.source, Image.split)
        .order_by(Image.source)
    )
    return [CountedSplit(*row) for row in rows]
