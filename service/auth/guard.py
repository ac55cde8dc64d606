"""The check of every request: whose key it has, and whether that key's role suffices."""

from hmac import compare_digest
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.auth.allowances import KeyLimits
from service.auth.errors import NotAuthorised, RoleTooLow, WrongCsrfToken
from service.auth.ring import KeyRing
from service.auth.sign_in import COOKIE, CSRF_HEADER
from service.errors import ServiceError, error_response
from service.identity import WITHOUT_KEY, Identity, acting_as
from service.roles import RouteRoles
from service.settings import Settings

SIGN_IN_PATH = "/sign-in"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

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
        self._limits = KeyLimits(settings.key_requests_per_minute, settings.key_bytes_per_minute)

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
        except NotAuthorised as error:
            response = _sign_in_page(scope) or error_response(error)
            await response(scope, receive, send)
            return
        except ServiceError as error:
            await error_response(error)(scope, receive, send)
            return
        with acting_as(identity):
            await self.app(scope, receive, send)

    async def _identify(self, scope: Scope) -> Identity:
        """
        Return the caller, by its key, else by its cookie.

        Raises NotAuthorised, TooManyWrongKeys, WrongCsrfToken, DatabaseAway.
        """
        ring: KeyRing = scope["app"].state.key_ring
        if await ring.is_open():
            return WITHOUT_KEY
        headers = Headers(scope=scope)
        sent = _sent_key(headers)
        if sent:
            return await ring.check(sent, (scope.get("client") or ("", 0))[0])
        token = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        if not token:
            raise NotAuthorised
        identity = await ring.check_token(token)
        if scope["method"] not in SAFE_METHODS and not compare_digest(
            headers.get(CSRF_HEADER, "").encode(), str(identity.csrf_token).encode()
        ):
            raise WrongCsrfToken
        return identity

    def _counting_bytes(self, identity: Identity, receive: Receive) -> Receive:
        if not self._limits.counts_bytes:
            return receive

        async def receive_and_count() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                self._limits.count_bytes(identity, len(message.get("body", b"")))
            return message

        return receive_and_count


def _sign_in_page(scope: Scope) -> Response | None:
    """Return the way to the sign-in page, for a person who opens a page in a browser."""
    if scope["method"] != "GET" or "text/html" not in Headers(scope=scope).get("accept", ""):
        return None
    next_page = quote(scope["path"], safe="/")
    return RedirectResponse(f"{SIGN_IN_PATH}?next={next_page}", HTTPStatus.SEE_OTHER)


def _sent_key(headers: Headers) -> str:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
