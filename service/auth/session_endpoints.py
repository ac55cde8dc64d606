"""Sign-in and sign-out of browsers over HTTP."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Cookie, Form, Request, Response
from fastapi.responses import RedirectResponse

from hardneg.schemas.session import SessionOut
from hardneg.schemas.text import PlainText
from service.auth import sign_in as sign_ins
from service.auth.errors import NotAuthorised
from service.auth.guard import SIGN_IN_PATH
from service.auth.ring import KeyRingDep
from service.auth.sign_in import COOKIE, LIFETIME, csrf_token_of
from service.identity import Identity, current_identity
from service.roles import open_to_all, requires
from service.scoring.resources import ResourcesDep

router = APIRouter(prefix="/session", tags=["session"])

NEXT_PATTERN = r"^/[A-Za-z0-9/_-]*$"
SessionCookie = Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)]


@router.post(
    "",
    response_model=SessionOut,
    responses={303: {"description": "To the page of `next`, for a form of a web page"}},
)
@open_to_all
async def sign_in(
    request: Request,
    resources: ResourcesDep,
    ring: KeyRingDep,
    key: Annotated[PlainText, Form(min_length=1, description="A key of the service.")],
    next_path: Annotated[
        str,
        Form(alias="next", pattern=NEXT_PATTERN, description="The page to show then."),
    ] = "/",
) -> Response:
    """
    Exchange a key for a cookie that lasts twelve hours, for a browser.

    The cookie is `HttpOnly` and `SameSite=Strict`. With it, each change needs the `X-CSRF-Token`
    that `GET /session` shows.
    """
    wants_page = "text/html" in request.headers.get("accept", "")
    try:
        identity = await ring.check(key, request.client.host if request.client else "")
    except NotAuthorised:
        if not wants_page:
            raise
        path = f"{SIGN_IN_PATH}?refused=key&next={next_path}"
        return RedirectResponse(path, HTTPStatus.SEE_OTHER)

    def begin() -> tuple[str, datetime]:
        with resources.sessions.begin() as session:
            return sign_ins.sign_in(session, identity, key)

    token, expires_at = await to_thread.run_sync(begin)
    ring.forget()
    if wants_page:
        response: Response = RedirectResponse(own_path(next_path), HTTPStatus.SEE_OTHER)
    else:
        out = _session_out(identity, token, expires_at)
        response = Response(out.model_dump_json(), media_type="application/json")
    set_cookie(request, response, token)
    return response


@router.get("")
@requires("read")
def show_session(
    request: Request,
    response: Response,
    resources: ResourcesDep,
    ring: KeyRingDep,
    token: SessionCookie = None,
) -> SessionOut:
    """Show who the caller is. An old cookie is exchanged for a new one."""
    identity = current_identity()
    if token is None or identity.csrf_token is None:
        return _session_out(identity, None, None)
    with resources.sessions.begin() as session:
        rotated = sign_ins.rotate(session, token)
    if rotated is None:  # signed out meanwhile
        return _session_out(identity, None, None)
    new, expires_at = rotated
    if new != token:
        ring.forget()
        set_cookie(request, response, new)
    return _session_out(identity, new, expires_at)


@router.delete("", status_code=HTTPStatus.NO_CONTENT)
@requires("read")
def sign_out(
    response: Response, resources: ResourcesDep, ring: KeyRingDep, token: SessionCookie = None
) -> None:
    """End the session of the cookie, here and in every process within two seconds."""
    if token is not None:
        with resources.sessions.begin() as session:
            sign_ins.sign_out(session, token)
        ring.forget()
    response.delete_cookie(COOKIE)


def _session_out(identity: Identity, token: str | None, expires_at: datetime | None) -> SessionOut:
    csrf_token = None if token is None else csrf_token_of(token)
    return SessionOut(
        name=identity.name, role=identity.role, expires_at=expires_at, csrf_token=csrf_token
    )


def own_path(next_path: str) -> str:
    """Return a path of `NEXT_PATTERN` unless a browser would read a host in it."""
    return "/" if next_path.startswith("//") else next_path


def set_cookie(request: Request, response: Response, token: str) -> None:
    """Give a browser the cookie of its session; no script and no other site can use it."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(LIFETIME.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    response.headers["Cache-Control"] = "no-store"
