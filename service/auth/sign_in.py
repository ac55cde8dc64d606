"""Browsers that sign in: a key is exchanged for a cookie that no script can read."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.audit.store import record
from service.auth.key_text import digest_of
from service.identity import Identity, acting_as
from service.tables import SignIn, utc_now

COOKIE = "hardneg_session"
CSRF_HEADER = "X-CSRF-Token"
LIFETIME = timedelta(hours=12)
ROTATED_AFTER = timedelta(minutes=10)
GRACE = timedelta(minutes=1)  # for requests under way with the token before
TOKEN_BYTES = 32


def csrf_token_of(token: str) -> str:
    """Return what a page sends with each change, to prove that it is ours and could be read."""
    return sha256(f"csrf {token}".encode()).hexdigest()


def sign_in(session: Session, identity: Identity, key: str) -> tuple[str, datetime]:
    """Begin a session of the owner of a valid key; return its token and its end."""
    now = utc_now()
    session.execute(delete(SignIn).where(SignIn.expires_at < now))
    token = secrets.token_urlsafe(TOKEN_BYTES)
    row = SignIn(
        digest=digest_of(token),
        key_digest=digest_of(key),
        signed_in_at=now,
        rotated_at=now,
        expires_at=now + LIFETIME,
    )
    session.add(row)
    session.flush()
    with acting_as(identity):
        record(session, "sign-in", f"sign-in {row.id}")
    return token, row.expires_at


def rotate(session: Session, token: str) -> tuple[str, datetime] | None:
    """
    Exchange an old token for a new one; return the token to use and its end.

    The token before stays valid for a minute. Returns None if there is no such session.
    """
    row = _find(session, token)
    if row is None:
        return None
    now = utc_now()
    if row.digest != digest_of(token) or now - row.rotated_at < ROTATED_AFTER:
        return token, row.expires_at
    new = secrets.token_urlsafe(TOKEN_BYTES)
    row.previous_digest, row.digest, row.rotated_at = row.digest, digest_of(new), now
    return new, row.expires_at


def sign_out(session: Session, token: str) -> None:
    """End a session; a second call changes nothing."""
    row = _find(session, token)
    if row is not None:
        record(session, "sign-out", f"sign-in {row.id}")
        session.delete(row)


def open_sign_ins(session: Session) -> dict[str, SignIn]:
    """Return the sessions that have not expired, by the digests of their tokens."""
    now = utc_now()
    found: dict[str, SignIn] = {}
    for row in session.scalars(select(SignIn).where(SignIn.expires_at > now)):
        found[row.digest] = row
        if row.previous_digest is not None and now - row.rotated_at < GRACE:
            found[row.previous_digest] = row
    return found


def _find(session: Session, token: str) -> SignIn | None:
    digest = digest_of(token)
    return session.scalar(
        select(SignIn).where((SignIn.digest == digest) | (SignIn.previous_digest == digest))
    )
