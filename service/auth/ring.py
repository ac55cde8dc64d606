"""The stored keys in memory, so that a request needs no query to be let in."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import structlog
from anyio import CapacityLimiter, Lock, move_on_after, to_thread
from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from hardneg.schemas.keys import Role
from service.auth import store
from service.auth.key_text import is_digest_of, parse_key_text
from service.db import Sessions
from service.errors import DatabaseAway
from service.identity import Identity
from service.tables import utc_now

FRESH_S = 2.0  # a revoked key is refused within this time
UNKNOWN_KEY_S = 0.25  # a new key of another process is known within this time
READ_TIMEOUT_S = 5.0
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

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._keys: Mapping[str, StoredKey] = {}
        self._read_at = float("-inf")
        self._reading = Lock()
        self._reader = CapacityLimiter(1)

    def forget(self) -> None:
        """Read the keys again before the next request, because one has changed."""
        self._read_at = min(self._read_at, time.monotonic() - FRESH_S)

    async def has_keys(self) -> bool:
        """Return whether a key was ever stored. Raises DatabaseAway."""
        await self._refresh(FRESH_S)
        return bool(self._keys)

    async def identity_of(self, sent: str) -> Identity | None:
        """Return the owner of a valid key; None for other text. Raises DatabaseAway."""
        text = parse_key_text(sent)
        if text is None:
            return None
        await self._refresh(FRESH_S)
        if text.public_id not in self._keys:
            await self._refresh(UNKNOWN_KEY_S)
        key = self._keys.get(text.public_id)
        if key is None or not is_digest_of(key.digest, text.text) or not key.is_valid():
            return None
        return key.identity

    async def _refresh(self, max_age_s: float) -> None:
        """Read the keys unless they are younger; requests that come meanwhile share one read."""
        if self._age_s() < max_age_s:
            return
        async with self._reading:
            if self._age_s() < max_age_s:
                return
            with move_on_after(READ_TIMEOUT_S):
                await to_thread.run_sync(self._read, limiter=self._reader, abandon_on_cancel=True)
        if self._age_s() > max(USABLE_S, max_age_s):
            raise DatabaseAway

    def _age_s(self) -> float:
        return time.monotonic() - self._read_at

    def _read(self) -> None:
        started = time.monotonic()
        try:
            with self._sessions.begin() as session:
                rows = store.list_keys(session)
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
        self._read_at = started


async def get_key_ring(request: Request) -> KeyRing:
    ring: KeyRing = request.app.state.key_ring
    return ring


KeyRingDep = Annotated[KeyRing, Depends(get_key_ring)]
