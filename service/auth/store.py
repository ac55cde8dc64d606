"""The SQL of API keys."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from hardneg.schemas.keys import Role
from service.auth.key_text import KeyText
from service.tables import ApiKey


def add_key(
    session: Session, *, name: str, role: Role, text: KeyText, expires_at: datetime | None
) -> ApiKey:
    key = ApiKey(
        name=name, role=role, public_id=text.public_id, digest=text.digest, expires_at=expires_at
    )
    session.add(key)
    session.flush()
    return key


def list_keys(session: Session) -> Sequence[ApiKey]:
    return session.scalars(select(ApiKey).order_by(ApiKey.id)).all()


def find_key(session: Session, name_or_id: str) -> ApiKey | None:
    """Find a key by its name, else by its id."""
    named = find_named(session, name_or_id)
    if named is not None or not name_or_id.isdecimal() or len(name_or_id) > 18:
        return named
    return session.get(ApiKey, int(name_or_id))


def find_named(session: Session, name: str) -> ApiKey | None:
    return session.scalar(select(ApiKey).where(ApiKey.name == name))
