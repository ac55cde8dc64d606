"""API keys over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Response

from hardneg.schemas.keys import KeyOut, KeyRequest, NewKey
from hardneg.schemas.text import PlainText
from service.auth import service
from service.auth.ring import KeyRingDep
from service.errors import problem_responses
from service.roles import requires
from service.scoring.resources import ReadSessionDep, ResourcesDep

router = APIRouter(prefix="/keys", tags=["keys"])

NameOrId = Annotated[PlainText, Path(min_length=1, description="Name or id.", examples=["ci"])]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    responses=problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT),
)
@requires("admin")
def create_key(
    resources: ResourcesDep, ring: KeyRingDep, response: Response, request: KeyRequest
) -> NewKey:
    """Create an API key. Keep its text: it is shown only now, and stored only as a hash."""
    with resources.sessions.begin() as session:
        key = service.create_key(session, request)
    ring.forget()
    response.headers["Cache-Control"] = "no-store"
    return key


@router.get("")
@requires("admin")
def list_keys(session: ReadSessionDep) -> list[KeyOut]:
    """List all keys without their texts, revoked and expired ones too."""
    return service.list_keys(session)


@router.delete("/{key}", responses=problem_responses(HTTPStatus.NOT_FOUND))
@requires("admin")
def revoke_key(resources: ResourcesDep, ring: KeyRingDep, key: NameOrId) -> KeyOut:
    """Revoke a key. Every process of the service refuses it within two seconds."""
    with resources.sessions.begin() as session:
        revoked = service.revoke_key(session, key)
    ring.forget()
    return revoked
