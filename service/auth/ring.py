"""The stored keys in memory, so that a request needs no query to be let in."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

import structlog
from anyio import CapacityLimiter, Lock, move_on_after, to_thread
from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from hardneg.schemas.keys import Role
from service.auth import store
from service.auth.allowances import WrongKeys
from service.auth.errors import NotAuthorised
from service.auth.key_text import digest_of, is_digest_of, parse_key_text
from service.auth.sign_in import csrf_token_of, open_sign_ins
from service.db import Sessions
from service.errors import DatabaseAway
from service.hosts import is_loopback
from service.identity import SETTINGS_KEY, Identity
from service.settings import Settings
from service.tables import SignIn, utc_now

FRESH_S = 2.0  # a revoked key is refused within this time
UNKNOWN_KEY_S = 0.25  # a new key of another process is known within this time
READ_TIMEOUT_S = 2.0
USABLE_S = 60.0  # while the database does not answer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StoredKey:
    identity: Identity
    digest: str
    expires_at: datetime | None
    is_revoked: bool

    def is_valid(self) -> bool:
        return not self.is_revoked and (self.expires_at is None or self.expires_at > utc_now())


class KeyRing:
    """All stored keys, read again from the database when they are older than two seconds."""

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        self._sessions = sessions
        self._settings_digest = (
            digest_of(settings.api_key.get_secret_value()) if settings.api_key else None
        )
        self._issuer = settings.oidc_issuer
        self._may_be_open = (
            self._settings_digest is None and not self._issuer and is_loopback(settings.host)
        )
        self.wrong_keys = WrongKeys()
        self._keys: Mapping[str, StoredKey] = {}
        self._sign_ins: Mapping[str, SignIn] = {}
        self._read_at = self._tried_at = float("-inf")
        self._reading = Lock()
        self._reader = CapacityLimiter(1)
        self._one_read = threading.Lock()  # also of those that nobody waits for any longer
        self._is_closed = False

    def forget(self) -> None:
        """Read the keys again before the next request, because one has changed."""
        self._tried_at = float("-inf")

    async def close(self) -> None:
        """Let the read under way give its connection back, for as long as a read may take."""
        self._is_closed = True
        if await to_thread.run_sync(self._one_read.acquire, True, READ_TIMEOUT_S):
            self._one_read.release()

    async def is_open(self) -> bool:
        """Return whether the service is on loopback and never had a key. Raises DatabaseAway."""
        if not self._may_be_open:
            return False
        await self._refresh(FRESH_S)
        return not self._keys

    async def check(self, sent: str, host: str) -> Identity:
        """
        Return the owner of a key that was sent from an address.

        Raises NotAuthorised, TooManyWrongKeys, DatabaseAway.
        """
        self.wrong_keys.check(host)
        identity = await self._owner(sent)
        if identity is None:
            self.wrong_keys.count_wrong(host)
            raise NotAuthorised
        self.wrong_keys.note_valid(host)
        return identity

    async def check_token(self, token: str) -> Identity:
        """Return who has signed in, by the cookie's token. Raises NotAuthorised, DatabaseAway."""
        digest = digest_of(token)
        await self._refresh(FRESH_S)
        if digest not in self._sign_ins:
            await self._refresh(UNKNOWN_KEY_S)
        row = self._sign_ins.get(digest)
        if row is None or row.expires_at <= utc_now():
            raise NotAuthorised
        if row.issuer is not None:
            return self._person(row, token)
        if row.key_digest == self._settings_digest:
            return replace(SETTINGS_KEY, csrf_token=csrf_token_of(token))
        for key in self._keys.values():
            if key.digest == row.key_digest and key.is_valid():
                return replace(key.identity, csrf_token=csrf_token_of(token))
        raise NotAuthorised

    def _person(self, row: SignIn, token: str) -> Identity:
        """Return a person who has signed in with the identity provider of the settings."""
        if row.issuer != self._issuer or row.person is None or row.role is None:
            raise NotAuthorised
        return Identity(row.person, Role(row.role), csrf_token=csrf_token_of(token))

    async def _owner(self, sent: str) -> Identity | None:
        """
        Return the owner of a key; None for a text that is no key of ours.

        A key that was revoked or has expired raises NotAuthorised: its sender is not guessing.
        """
        if self._settings_digest and is_digest_of(self._settings_digest, sent):
            return SETTINGS_KEY
        text = parse_key_text(sent)
        if text is None:
            return None
        await self._refresh(FRESH_S)
        if text.public_id not in self._keys:
            await self._refresh(UNKNOWN_KEY_S)
        key = self._keys.get(text.public_id)
        if key is None or not is_digest_of(key.digest, text.text):
            return None
        if not key.is_valid():
            raise NotAuthorised
        return key.identity

    async def _refresh(self, max_age_s: float) -> None:
        """Read the keys unless they are younger; requests that come meanwhile share one read."""
        if time.monotonic() - self._tried_at >= max_age_s:
            async with self._reading:
                if time.monotonic() - self._tried_at >= max_age_s:
                    await self._try_to_read()
        if time.monotonic() - self._read_at > USABLE_S:
            raise DatabaseAway

    async def _try_to_read(self) -> None:
        started = time.monotonic()
        with move_on_after(READ_TIMEOUT_S):
            await to_thread.run_sync(self._read, limiter=self._reader, abandon_on_cancel=True)
        # If it failed, those that wait for it must not try in turn.
        self._tried_at = self._read_at if self._read_at >= started else time.monotonic()

    def _read(self) -> None:
        with self._one_read:
            if not self._is_closed:
                self._read_keys()

    def _read_keys(self) -> None:
        started = time.monotonic()
        try:
            with self._sessions.begin() as session:
                rows = store.list_keys(session)
                sign_ins = open_sign_ins(session)
        except SQLAlchemyError as error:
            log.error("the keys cannot be read", exc_info=error)
            return
        self._keys = {
            row.public_id: StoredKey(
                Identity(row.name, Role(row.role), row.id),
                row.digest,
                row.expires_at,
                row.revoked_at is not None,
            )
            for row in rows
        }
        self._sign_ins = sign_ins
        self._read_at = started


async def get_key_ring(request: Request) -> KeyRing:
    ring: KeyRing = request.app.state.key_ring
    return ring


KeyRingDep = Annotated[KeyRing, Depends(get_key_ring)]
