"""SQL for images."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from hardneg.schemas.images import Verdict
from service.tables import Image


def is_negative() -> ColumnElement[bool]:
    """Select the images that no person has judged to contain an object."""
    return or_(Image.verdict.is_(None), Image.verdict != Verdict.CONTAINS_OBJECT)


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


def add_or_find_images(session: Session, rows: Mapping[str, dict[str, object]]) -> dict[str, Image]:
    """The images of these rows, which are by digest: new, or those that are there already."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(Image).on_conflict_do_nothing(index_elements=["sha256"]).returning(Image)
    )
    images: dict[str, Image] = {}
    while missing := [row for digest, row in rows.items() if digest not in images]:
        added = session.scalars(statement, missing).all()
        images |= {image.sha256: image for image in added}
        images |= find_by_digests(session, [digest for digest in rows if digest not in images])
    return images


def find_by_digests(session: Session, digests: Sequence[str]) -> dict[str, Image]:
    """Those that are there, by digest."""
    if not digests:
        return {}
    found = session.scalars(select(Image).where(Image.sha256.in_(digests)))
    return {image.sha256: image for image in found}


def find_image(session: Session, image_id: int, *, lock: bool = False) -> Image | None:
    """
    With `lock`, nobody else changes or deletes the row until the transaction ends.

    Who changes an image, its boxes or its verdict locks its row first: one order, no deadlock.
    On SQLite a transaction that writes has the whole database to itself already.
    """
    return session.get(Image, image_id, with_for_update=True if lock else None)


def find_by_digest(session: Session, sha256: str, *, lock: bool = False) -> Image | None:
    """`lock` as for `find_image`."""
    statement = select(Image).where(Image.sha256 == sha256)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


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
