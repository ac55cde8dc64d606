"""Who may call: one key for all, where one is set."""

from hmac import compare_digest
from http import HTTPStatus
from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ServiceError, problem_of, problem_response


class NotAuthorised(ServiceError):
    """The key is missing or wrong."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "not-authorised"
    title = "Not authorised"

    def __init__(self) -> None:
        super().__init__(
            "send the service's key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
        )


BearerDep = Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]
KeyDep = Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))]

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"})


async def describe_key(_bearer: BearerDep, _key: KeyDep) -> None:
    """Puts the two ways to send the key into the OpenAPI document; `KeyGuard` asks for it."""


class KeyGuard:
    """Turns away whoever has no key, before a byte of the body is read or stored."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self.app = app
        self._api_key = api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._knows(scope):
            await self.app(scope, receive, send)
        else:
            await problem_response(problem_of(NotAuthorised()))(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        sent = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return compare_digest(sent.encode(), self._api_key)
