"""
An identity provider of OpenID Connect in a process of its own, which can be told to attack.

It follows the standard: discovery, authorisation with PKCE, single-use codes, a token endpoint that
authenticates the client, and RSA signatures. `PUT /behaviour` makes it do wrong.
"""

import hmac
import json
import secrets
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import uvicorn
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.service.processes import start_process
from tests.service.servers import free_port

CLIENT_ID, CLIENT_SECRET = "hardneg", "a secret with : and %"
REDIRECT_PATH = "/session/oidc/callback"

http = httpx.Client(verify=False, timeout=30)


class _Provider:
    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.behaviour: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})

    def discovery(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    def keys(self, _: Request) -> Response:
        unknown = {"kty": "lattice", "kid": "of-tomorrow"}
        return JSONResponse({"keys": [unknown, *KeySet([self.key]).as_dict()["keys"]]})

    def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["redirect_uri"].endswith(REDIRECT_PATH)
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        answer = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}", 302)

    async def token(self, request: Request) -> Response:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
        asked = self.codes.pop(form["code"], None)
        sent = b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        if sent != "hardneg:a+secret+with+%3A+and+%25":
            return JSONResponse({"error": "invalid_client"}, 401)
        digest = sha256(form["code_verifier"].encode()).digest()
        if (
            asked is None
            or asked["redirect_uri"] != form["redirect_uri"]
            or asked["code_challenge"] != _encoded(digest)
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        id_token = self._id_token(asked["nonce"])
        return JSONResponse(
            {"access_token": "opaque", "token_type": "Bearer", "id_token": id_token}
            | self.behaviour.get("tokens", {})
        )

    def userinfo(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer opaque"
        return JSONResponse(self.behaviour.get("userinfo", {"sub": "nobody"}))

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "sub-of-ana",
            "email": "ana@example.com",
            "email_verified": True,
            "nonce": nonce,
            "iat": now,
            "exp": now + 300,
        } | self.behaviour.get("claims", {})
        claims = {name: value for name, value in claims.items() if value is not None}
        alg = self.behaviour.get("alg", "RS256")
        header = {"alg": alg, "kid": "first"} | self.behaviour.get("header", {})
        if alg in ("none", "HS256"):
            signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
            public = self.key.as_pem(private=False)  # as if it were a secret that we share
            mac = hmac.digest(public, signed.encode(), "sha256") if alg == "HS256" else b""
            return f"{signed}.{_encoded(mac)}"
        signer = self.key
        if self.behaviour.get("forged"):
            signer = RSAKey.generate_key(2048)
        return jwt.encode(header, claims, signer)

    async def behave(self, request: Request) -> Response:
        self.behaviour = await request.json()
        if "rotated_to" in self.behaviour:
            self.key = RSAKey.generate_key(2048, {"kid": self.behaviour["rotated_to"]})
        return Response(status_code=204)


def _encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()


def run_provider(port: int) -> None:
    provider = _Provider(f"http://localhost:{port}")
    routes = [
        Route("/.well-known/openid-configuration", provider.discovery),
        Route("/keys", provider.keys),
        Route("/authorize", provider.authorize),
        Route("/token", provider.token, methods=["POST"]),
        Route("/userinfo", provider.userinfo),
        Route("/behaviour", provider.behave, methods=["PUT"]),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="error")


def oidc_settings(issuer: str) -> dict[str, str]:
    """Return the settings of a service whose people sign in with this provider."""
    return {
        "oidc_issuer": issuer,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": CLIENT_SECRET,
        "oidc_roles": "labelling=review, ml=train",
    }


def behave(issuer: str, behaviour: Mapping[str, Any]) -> None:
    """Make the provider do wrong, or say more, from now on."""
    http.put(f"{issuer}/behaviour", json=behaviour).raise_for_status()


@contextmanager
def running_provider() -> Iterator[str]:
    """Run a provider and yield its URL: for a browser, another site than that of 127.0.0.1."""
    port = free_port()
    url = f"http://localhost:{port}"
    process = start_process(run_provider, port)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                http.get(f"{url}/keys").raise_for_status()
                break
            except httpx.TransportError:
                assert process.is_alive()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.join()
