"""The rules of API keys."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hardneg.schemas.keys import KeyOut, KeyRequest, NewKey
from service.audit.store import record
from service.auth import store
from service.auth.errors import KeyExpiresInThePast, KeyNameTaken, UnknownKey
from service.auth.key_text import new_key_text
from service.tables import ApiKey, utc_now


def create_key(session: Session, request: KeyRequest) -> NewKey:
    """
    Create a key and return it with its text, which is stored nowhere.

    Raises:
        KeyNameTaken: A key has or had this name.
        KeyExpiresInThePast: The key could never be used.
    """
    if request.expires_at is not None and request.expires_at <= utc_now():
        raise KeyExpiresInThePast
    if store.find_named(session, request.name) is not None:
        raise KeyNameTaken(request.name)
    text = new_key_text()
    try:
        key = store.add_key(
            session,
            name=request.name,
            role=request.role,
            text=text,
            expires_at=request.expires_at,
        )
    except IntegrityError as error:  # another request has just taken the name
        raise KeyNameTaken(request.name) from error
    record(session, "create-key", f"key {key.id}", after=key_out(key).model_dump(mode="json"))
    return NewKey(**dict(key_out(key)), key=text.text)


def list_keys(session: Session) -> list[KeyOut]:
    """Return all keys, revoked ones too, oldest first."""
    return [key_out(key) for key in store.list_keys(session)]


def revoke_key(session: Session, name_or_id: str) -> KeyOut:
    """Refuse a key from now on; a second call changes nothing. Raises UnknownKey."""
    key = store.find_key(session, name_or_id)
    if key is None:
        raise UnknownKey(name_or_id)
    if key.revoked_at is None:
        key.revoked_at = utc_now()
        session.flush()
        record(session, "revoke-key", f"key {key.id}", after={"name": key.name})
    return key_out(key)


def key_out(key: ApiKey) -> KeyOut:
    return KeyOut.model_validate(key, from_attributes=True)
