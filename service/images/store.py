"""SQL for images."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.tables import Image


def add_image(session: Session, values: dict[str, object]) -> Image | None:
    """None when an image with the same digest is there already."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(Image)
        .values(values)
        .on_conflict_do_nothing(index_elements=["sha256"])
        .returning(Image)
    )
    return session.scalars(statement).one_or_none()


def find_image(session: Session, image_id: int) -> Image | None:
    return session.get(Image, image_id)


def find_by_digest(session: Session, sha256: str) -> Image | None:
    return session.scalars(select(Image).where(Image.sha256 == sha256)).one_or_none()


def list_images(
    session: Session, *, split: str | None, source: str | None, after_id: int, limit: int
) -> Sequence[Image]:
    """In order of id."""
    statement = select(Image).where(Image.id > after_id).order_by(Image.id).limit(limit)
    if split is not None:
        statement = statement.where(Image.split == split)
    if source is not None:
        statement = statement.where(Image.source == source)
    return session.scalars(statement).all()
