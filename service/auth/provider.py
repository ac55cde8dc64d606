"""The identity provider that people sign in with, by OpenID Connect's authorisation-code flow."""

import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
import structlog
from anyio import Lock, fail_after
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, import_key

from service.auth.errors import ProviderAway, SignInRefused
from service.auth.people import claim_at
from service.settings import Settings

TIMEOUT_S = 10.0  # for one answer, from first to last byte
MAX_BYTES = 1024**2
FRESH_S = 3600.0  # of the provider's document and keys
RENEWED_AFTER_S = 10.0  # keys are read again for an unknown one, but not more often
CLOCK_SKEW_S = 60
# Signatures that only the provider can make: neither `none`, nor HMAC with a secret that we know.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "Ed25519"]
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One sign-in under way.

    Attributes:
        state: ties the provider's answer to the browser that began.
        nonce: ties the ID token to this sign-in.
        verifier: proves to the provider that the code is used by who asked for it (RFC 7636).
        next_path: the page to show then.
    """

    state: str
    nonce: str
    verifier: str
    next_path: str

    @classmethod
    def new(cls, next_path: str) -> "Attempt":
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, next_path)


class IdentityProvider:
    """The provider of the settings. Its document and keys are read when needed, and then kept."""

    def __init__(self, settings: Settings) -> None:
        assert settings.oidc_client_secret is not None  # the settings require it with an issuer
        self.issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._secret = settings.oidc_client_secret.get_secret_value()
        self._scopes = settings.oidc_scopes
        self._roles_claim = settings.oidc_roles_claim
        self._tls = httpx.create_ssl_context()
        self._reading = Lock()
        self._document: Mapping[str, Any] = {}
        self._document_at = self._keys_at = float("-inf")
        self._keys = KeySet([])

    async def authorization_url(self, attempt: Attempt, redirect_uri: str) -> str:
        """Return where to send the browser. Raises ProviderAway."""
        document = await self._read_document()
        challenge = urlsafe_b64encode(sha256(attempt.verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": self._scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        endpoint = str(document["authorization_endpoint"])
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    async def claims_for(
        self, code: str, attempt: Attempt, redirect_uri: str
    ) -> Mapping[str, object]:
        """
        Exchange a code for the verified claims of a person.

        Raises SignInRefused, ProviderAway.
        """
        tokens = await self._exchange(code, attempt, redirect_uri)
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str):
            raise SignInRefused("the identity provider gave no ID token")
        claims = await self._verify(id_token, attempt.nonce)
        endpoint = self._document.get("userinfo_endpoint")
        if claim_at(claims, self._roles_claim) is not None or not isinstance(endpoint, str):
            return claims
        bearer = {"Authorization": f"Bearer {tokens.get('access_token')}"}
        more = await self._fetch("GET", endpoint, headers=bearer)
        if more.get("sub") != claims["sub"]:
            raise SignInRefused("the identity provider answered with another person")
        return {**more, **claims}

    async def _exchange(
        self, code: str, attempt: Attempt, redirect_uri: str
    ) -> Mapping[str, object]:
        document = await self._read_document()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
        }
        auth: tuple[str, str] | None = None
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "client_secret_basic" in methods:  # both parts are form-encoded: RFC 6749, 2.3.1
            auth = quote_plus(self._client_id), quote_plus(self._secret)
        else:
            form |= {"client_id": self._client_id, "client_secret": self._secret}
        return await self._fetch("POST", str(document["token_endpoint"]), data=form, auth=auth)

    async def _verify(self, id_token: str, nonce: str) -> Mapping[str, Any]:
        """Return the claims of an ID token, checked by OpenID Connect Core 1.0, 3.1.3.7."""
        expected = jwt.JWTClaimsRegistry(
            leeway=CLOCK_SKEW_S,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self._client_id},
            nonce={"essential": True, "value": nonce},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            token = await self._decode(id_token)
            expected.validate(token.claims)
        except (JoseError, ValueError) as error:
            log.warning("ID token refused", reason=str(error))
            raise SignInRefused("the identity provider's ID token is not valid") from error
        claims: Mapping[str, Any] = token.claims
        is_for_others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if is_for_others else self._client_id) != self._client_id:
            raise SignInRefused("the ID token was issued to another program")
        return claims

    async def _decode(self, id_token: str) -> jwt.Token:
        """Check the signature, with keys that are read again if no known one has made it."""
        try:
            return jwt.decode(id_token, await self._read_keys(FRESH_S), ALGORITHMS)
        except (InvalidKeyIdError, BadSignatureError):
            return jwt.decode(id_token, await self._read_keys(RENEWED_AFTER_S), ALGORITHMS)

    async def _read_document(self) -> Mapping[str, Any]:
        async with self._reading:
            if time.monotonic() - self._document_at >= FRESH_S:
                url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
                self._document = self._checked(await self._fetch("GET", url))
                self._document_at = time.monotonic()
            return self._document

    def _checked(self, document: Mapping[str, object]) -> Mapping[str, object]:
        if document.get("issuer") != self.issuer:
            raise ProviderAway(f"calls itself {document.get('issuer')!r}, not {self.issuer!r}")
        scheme = urlsplit(self.issuer).scheme
        for name in ENDPOINTS:
            if not str(document.get(name, "")).startswith(("https://", f"{scheme}://")):
                raise ProviderAway(f"names no {name} that is safe to use")
        return document

    async def _read_keys(self, max_age_s: float) -> KeySet:
        document = await self._read_document()
        async with self._reading:
            if time.monotonic() - self._keys_at >= max_age_s:
                found = (await self._fetch("GET", str(document["jwks_uri"]))).get("keys")
                self._keys = _key_set(found if isinstance(found, list) else [])
                self._keys_at = time.monotonic()
            return self._keys

    async def _fetch(self, method: str, url: str, **options: Any) -> Mapping[str, object]:
        """
        Return the JSON object that an address of the provider answers with.

        Raises:
            SignInRefused: The provider refuses what was sent.
            ProviderAway: It does not answer, or not with a JSON object of a bounded length.
        """
        body = bytearray()
        try:
            with fail_after(TIMEOUT_S):
                async with (
                    httpx.AsyncClient(verify=self._tls) as client,
                    client.stream(method, url, **options) as answer,
                ):
                    async for part in answer.aiter_bytes():
                        body += part
                        if len(body) > MAX_BYTES:
                            raise ProviderAway("answers at too great a length")
            document = json.loads(body)
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            TimeoutError,
            ValueError,
            RecursionError,
        ) as error:
            log.error("identity provider does not answer", url=url, exc_info=error)
            raise ProviderAway("does not answer as it should") from error
        if not isinstance(document, dict):
            raise ProviderAway("does not answer as it should")
        if answer.is_client_error:
            log.warning("identity provider refused", url=url, reason=str(document.get("error")))
            raise SignInRefused("the identity provider refused the code")
        if not answer.is_success:
            raise ProviderAway(f"answers with {answer.status_code}")
        return document


def _key_set(found: list[Any]) -> KeySet:
    """Return the keys for signatures; a provider may publish others, of kinds not known here."""
    keys = []
    for item in found:
        try:
            if item.get("use", "sig") == "sig":
                keys.append(import_key(item))
        except (JoseError, ValueError, TypeError, AttributeError, KeyError):
            continue
    return KeySet(keys)
