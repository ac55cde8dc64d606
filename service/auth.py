"""Access by the one key that all clients share, where the settings give one."""

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
OPEN_FOLDER = "/static/"  # what /docs loads: a browser sends no key for a page or a script


async def describe_key(_bearer: BearerDep, _key: KeyDep) -> None:
    """Describe both ways to send the key in the OpenAPI document; `KeyGuard` checks it."""


class KeyGuard:
    """Refuses requests without the key before a byte of their body is read or stored."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self.app = app
        self._api_key = api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope["path"]) or self._has_key(scope):
            await self.app(scope, receive, send)
        else:
            await problem_response(problem_of(NotAuthorised()))(scope, receive, send)

    def _has_key(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        sent = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return compare_digest(sent.encode(), self._api_key)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)
