"""Who may call: one key for all, where one is set."""

from hmac import compare_digest
from http import HTTPStatus
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.errors import ServiceError
from service.settings import Settings


class NotAuthorised(ServiceError):
    """The key is missing or wrong."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "not-authorised"
    title = "Not authorised"


BearerDep = Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]
KeyDep = Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))]


def require_key(request: Request, bearer: BearerDep, key: KeyDep) -> None:
    """Raises NotAuthorised; passes everyone where no key is set."""
    settings: Settings = request.app.state.settings
    if settings.api_key is None:
        return
    sent = bearer.credentials if bearer else key or ""
    if not compare_digest(sent.encode(), settings.api_key.get_secret_value().encode()):
        raise NotAuthorised(
            "send the service's key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
        )
