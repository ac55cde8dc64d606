"""The check of every request: whose key it has, and whether that key's role suffices."""

from hmac import compare_digest
from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.auth.allowances import KeyLimits, WrongKeys
from service.auth.errors import NotAuthorised, RoleTooLow
from service.auth.key_text import digest_of
from service.auth.ring import KeyRing
from service.errors import ServiceError, error_response
from service.hosts import is_loopback
from service.identity import SETTINGS_KEY, WITHOUT_KEY, Identity, acting_as
from service.roles import RouteRoles
from service.settings import Settings

BearerDep = Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]
KeyDep = Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))]


async def describe_key(_bearer: BearerDep, _key: KeyDep) -> None:
    """Describe both ways to send the key in the OpenAPI document; `KeyGuard` checks it."""


class KeyGuard:
    """
    Middleware that lets a request pass if its key has the role that the route requires.

    It decides before a byte of the body is read or stored. Without any key, in the settings or in
    the database, a service on loopback is open, and no other is.
    """

    def __init__(self, app: ASGIApp, settings: Settings, roles: RouteRoles) -> None:
        self.app = app
        self._roles = roles
        self._settings_digest = (
            digest_of(settings.api_key.get_secret_value()) if settings.api_key else None
        )
        self._may_be_open = self._settings_digest is None and is_loopback(settings.host)
        self._limits = KeyLimits(settings.key_requests_per_minute, settings.key_bytes_per_minute)
        self._wrong_keys = WrongKeys()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        required = self._roles.required(scope["method"], scope["path"])
        if required is None:
            await self.app(scope, receive, send)
            return
        try:
            identity = await self._identify(scope)
            if not identity.role.includes(required):
                raise RoleTooLow(identity, required)
            if identity is not WITHOUT_KEY:
                self._limits.admit(identity)
                receive = self._counting_bytes(identity, receive)
        except ServiceError as error:
            await error_response(error)(scope, receive, send)
            return
        with acting_as(identity):
            await self.app(scope, receive, send)

    async def _identify(self, scope: Scope) -> Identity:
        """Return the caller. Raises NotAuthorised, TooManyWrongKeys, DatabaseAway."""
        ring: KeyRing = scope["app"].state.key_ring
        if self._may_be_open and not await ring.has_keys():
            return WITHOUT_KEY
        sent = _sent_key(Headers(scope=scope))
        if not sent:
            raise NotAuthorised
        host = (scope.get("client") or ("", 0))[0]
        self._wrong_keys.check(host)
        identity = await self._owner(sent, ring)
        if identity is None:
            self._wrong_keys.count_wrong(host)
            raise NotAuthorised
        self._wrong_keys.note_valid(host)
        return identity

    async def _owner(self, sent: str, ring: KeyRing) -> Identity | None:
        if self._settings_digest and compare_digest(digest_of(sent), self._settings_digest):
            return SETTINGS_KEY
        return await ring.identity_of(sent)

    def _counting_bytes(self, identity: Identity, receive: Receive) -> Receive:
        if not self._limits.counts_bytes:
            return receive

        async def receive_and_count() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                self._limits.count_bytes(identity, len(message.get("body", b"")))
            return message

        return receive_and_count


def _sent_key(headers: Headers) -> str:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
