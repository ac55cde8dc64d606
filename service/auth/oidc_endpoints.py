"""The sign-in of people with an identity provider. Needs the extra `hardneg[oidc]`."""

from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from html import escape
from http import HTTPStatus
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Cookie, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from service.auth.errors import PersonWithoutRole, ProviderAway, SignInRefused
from service.auth.guard import SIGN_IN_PATH
from service.auth.people import Person, person_of
from service.auth.provider import Attempt, IdentityProvider
from service.auth.ring import KeyRing, KeyRingDep
from service.auth.session_endpoints import NEXT_PATTERN, own_path, set_cookie
from service.auth.sign_in import ATTEMPT_LIFETIME, sign_in_person
from service.errors import ServiceError, error_response
from service.roles import open_to_all
from service.scoring.resources import Resources, ResourcesDep
from service.settings import Settings
from service.tables import utc_now

PATH = "/session/oidc"
ATTEMPT_COOKIE = "hardneg_sign_in"
# The cookie of the session is `SameSite=Strict`: a browser that comes from the provider does not
# send it along a redirect, so a page of ours must lead on.
LEAD_ON = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Signed in · hardneg</title>'
    '<meta http-equiv="refresh" content="0;url={path}"></head>'
    '<body><p>You are signed in. <a href="{path}">Go on</a></p></body></html>'
)
LEAD_ON_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the address holds the code
    "Cache-Control": "no-store",
}

AttemptCookie = Annotated[str | None, Cookie(alias=ATTEMPT_COOKIE, max_length=4096)]
Sent = Annotated[str, Query(max_length=4096)]


def add_routes(settings: Settings) -> APIRouter:
    """Return the two routes of a sign-in with the identity provider of the settings."""
    router = APIRouter(prefix=PATH, include_in_schema=False)
    provider = IdentityProvider(settings)
    attempts = _AttemptCookies(settings)

    @router.get("")
    @open_to_all
    async def begin(
        request: Request,
        next_path: Annotated[str, Query(alias="next", pattern=NEXT_PATTERN)] = "/",
    ) -> Response:
        """Send a browser to the identity provider."""
        attempt = Attempt.new(own_path(next_path))
        try:
            url = await provider.authorization_url(attempt, _redirect_uri(request))
        except ProviderAway as error:
            return _refusal(request, error)
        response = RedirectResponse(url, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
        attempts.set(request, response, attempt)
        return response

    @router.get("/callback")
    @open_to_all
    async def finish(
        request: Request,
        resources: ResourcesDep,
        ring: KeyRingDep,
        code: Sent = "",
        state: Sent = "",
        cookie: AttemptCookie = None,
    ) -> Response:
        """Begin the session of a person who comes back from the identity provider."""
        host = request.client.host if request.client else ""
        try:
            ring.wrong_keys.check(host)
            attempt = attempts.read(cookie, state)
            if not code:
                raise SignInRefused("the identity provider gave no code")
            claims = await provider.claims_for(code, attempt, _redirect_uri(request))
            person = person_of(claims, settings.oidc_roles_claim, settings.oidc_role_map)
            token = await _begin_session(resources, ring, person, provider.issuer, state)
            ring.wrong_keys.note_valid(host)
        except SignInRefused as error:
            ring.wrong_keys.count_wrong(host)
            return _refusal(request, error)
        except (PersonWithoutRole, ProviderAway) as error:
            return _refusal(request, error)
        path = escape(attempt.next_path)
        response = HTMLResponse(LEAD_ON.format(path=path), headers=LEAD_ON_HEADERS)
        set_cookie(request, response, token)
        response.delete_cookie(ATTEMPT_COOKIE, path=PATH)
        return response

    return router


async def _begin_session(
    resources: Resources, ring: KeyRing, person: Person, issuer: str, state: str
) -> str:
    def begin() -> str | None:
        with resources.sessions.begin() as session:
            return sign_in_person(session, person, issuer, state)

    token = await to_thread.run_sync(begin)
    if token is None:
        raise SignInRefused("this sign-in was used before")
    ring.forget()
    return token


class _AttemptCookies:
    """
    The cookies of browsers between leaving for the provider and coming back.

    They are signed with a key from the client's secret, so that every process can read them and
    nothing is stored for a caller who has not signed in yet.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.oidc_client_secret is not None  # the settings require it with an issuer
        secret = settings.oidc_client_secret.get_secret_value()
        self._key = OctKey.import_key(sha256(f"sign-in {secret}".encode()).digest())
        self._expected = jwt.JWTClaimsRegistry(exp={"essential": True})

    def set(self, request: Request, response: Response, attempt: Attempt) -> None:
        claims: Mapping[str, object] = {
            "state": attempt.state,
            "nonce": attempt.nonce,
            "verifier": attempt.verifier,
            "next": attempt.next_path,
            "exp": int((utc_now() + ATTEMPT_LIFETIME).timestamp()),
        }
        response.set_cookie(
            ATTEMPT_COOKIE,
            jwt.encode({"alg": "HS256"}, dict(claims), self._key),
            max_age=int(ATTEMPT_LIFETIME.total_seconds()),
            path=PATH,
            httponly=True,
            samesite="lax",  # it must come along when the provider sends the browser back
            secure=request.url.scheme == "https",
        )

    def read(self, cookie: str | None, state: str) -> Attempt:
        """Return the attempt that a browser began. Raises SignInRefused if it began no such one."""
        try:
            claims = jwt.decode(cookie or "", self._key, ["HS256"]).claims
            self._expected.validate(claims)
            attempt = Attempt(*(str(claims[key]) for key in ("state", "nonce", "verifier", "next")))
        except (JoseError, ValueError, KeyError) as error:
            raise SignInRefused(
                "this browser has no sign-in under way, or waited too long"
            ) from error
        if not compare_digest(attempt.state.encode(), state.encode()):
            raise SignInRefused("this answer belongs to another sign-in")
        return attempt


def _redirect_uri(request: Request) -> str:
    """Return our address for the provider's answer; it must be registered there."""
    return f"{request.url.scheme}://{request.url.netloc}{PATH}/callback"


def _refusal(request: Request, error: ServiceError) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        return error_response(error)
    return RedirectResponse(f"{SIGN_IN_PATH}?refused={error.slug}", HTTPStatus.SEE_OTHER)
