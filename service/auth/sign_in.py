"""Browsers that sign in, with a key or as a person, get a cookie that no script can read."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.audit.store import record
from service.auth.key_text import digest_of
from service.auth.people import Person
from service.identity import Identity, acting_as
from service.tables import SignIn, utc_now

COOKIE = "hardneg_session"
CSRF_HEADER = "X-CSRF-Token"
LIFETIME = timedelta(hours=12)
ATTEMPT_LIFETIME = timedelta(minutes=10)  # of a sign-in with an identity provider
ROTATED_AFTER = timedelta(minutes=10)
GRACE = timedelta(minutes=1)  # for requests under way with the token before
TOKEN_BYTES = 32


def csrf_token_of(token: str) -> str:
    """Return what a page sends with each change, to prove that it is ours and could be read."""
    return sha256(f"csrf {token}".encode()).hexdigest()


def sign_in(session: Session, identity: Identity, key: str) -> tuple[str, datetime]:
    """Begin a session of the owner of a valid key; return its token and its end."""
    return _begin(session, identity, SignIn(key_digest=digest_of(key)))


def sign_in_person(session: Session, person: Person, issuer: str, state: str) -> str | None:
    """
    Begin a session of a person whom the identity provider has named; return its token.

    Returns None if the same answer of the provider has begun a session before.
    """
    row = SignIn(
        issuer=issuer,
        person=person.identity.name,
        role=person.identity.role,
        state_digest=digest_of(state),
    )
    known = select(SignIn.id).where(SignIn.state_digest == row.state_digest)
    if session.scalar(known) is not None:
        return None
    token, _ = _begin(session, person.identity, row, {"issuer": issuer, "subject": person.subject})
    return token


def _begin(
    session: Session, identity: Identity, row: SignIn, after: Mapping[str, object] | None = None
) -> tuple[str, datetime]:
    now = utc_now()
    session.execute(delete(SignIn).where(SignIn.expires_at < now - ATTEMPT_LIFETIME))
    token = secrets.token_urlsafe(TOKEN_BYTES)
    row.digest, row.signed_in_at, row.rotated_at = digest_of(token), now, now
    row.expires_at = now + LIFETIME
    session.add(row)
    session.flush()
    with acting_as(identity):
        record(session, "sign-in", f"sign-in {row.id}", after=after)
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
        row.expires_at = utc_now()  # the row stays for a while, so that its state is not used again


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
        select(SignIn).where(
            (SignIn.digest == digest) | (SignIn.previous_digest == digest),
            SignIn.expires_at > utc_now(),
        )
    )
