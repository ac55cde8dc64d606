"""Access to the calls: keys, roles, limits."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import update

from hardneg.schemas.keys import KeyRequest, Role
from service.app import OPEN_PATHS, create_app
from service.auth import service
from service.auth.allowances import MAX_ADDRESSES, WRONG_KEYS, KeyLimits, WrongKeys
from service.auth.errors import KeyOverLimit, TooManyWrongKeys
from service.identity import Identity
from service.roles import RoleNotDeclared, RouteRoles, open_to_all, requires
from service.settings import Settings
from service.tables import ApiKey, utc_now
from tests.databases import on_sqlite_only
from tests.service.clients import local_client
from tests.service.resources import resources_of

KEY = "a-key-of-some-length"
OPEN_CALLS = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("POST", "/session")}
CHANGES_NOTHING = {("POST", "/score"), ("POST", "/retrain/preview"), ("DELETE", "/session")}

NewKey = Callable[[str, Role], str]


@pytest.fixture
def keyed(settings: Settings) -> Iterator[TestClient]:
    """Yield a client, without a key, of a service that has one in its settings."""
    with local_client(create_app(Settings(**{**dict(settings), "api_key": KEY}))) as client:
        yield client


@pytest.fixture
def new_key(keyed: TestClient) -> NewKey:
    def create(name: str, role: Role) -> str:
        with resources_of(keyed).sessions.begin() as session:
            return service.create_key(session, KeyRequest(name=name, role=role)).key

    return create


def slug(response: Response) -> str:
    return str(response.json().get("type", "")).removeprefix("/problems/")


@on_sqlite_only
def test_every_call_is_refused_without_a_key_of_its_role(
    keyed: TestClient, new_key: NewKey
) -> None:
    keys = {role: new_key(f"{role}-key", role) for role in Role}
    dead = [new_key(name, Role.ADMIN) for name in ("revoked", "expired")]
    with resources_of(keyed).sessions.begin() as session:
        service.revoke_key(session, "revoked")
        past = {"expires_at": utc_now() - timedelta(seconds=1)}
        session.execute(update(ApiKey).where(ApiKey.name == "expired").values(past))
    assert isinstance(keyed.app, FastAPI)
    roles = RouteRoles(keyed.app.routes, OPEN_PATHS)
    calls = [
        (method.upper(), path)
        for path, methods in keyed.app.openapi()["paths"].items()
        for method in methods
    ]

    assert len(calls) > 30
    for method, template in calls:
        path = template.replace("{", "1").replace("}", "")
        required = roles.required(method, path)
        if (method, template) in OPEN_CALLS:
            assert keyed.request(method, path).status_code in (200, 422, 503)
            continue
        assert required is not None, f"{method} {template} is open to all"
        assert method == "GET" or required is not Role.READ or (method, template) in CHANGES_NOTHING
        for headers in ({}, *({"X-API-Key": key} for key in dead)):
            answer = keyed.request(method, path, headers=headers)
            assert (answer.status_code, slug(answer)) == (401, "not-authorised")
        for role, key in keys.items():
            answer = keyed.request(method, path, headers={"Authorization": f"Bearer {key}"})
            is_refused = answer.status_code == 403 and slug(answer) == "role-too-low"
            assert is_refused != role.includes(required), f"{role}: {method} {template}"
            assert answer.status_code not in (401, 429, 500)


def test_unknown_path_and_method_need_a_key(keyed: TestClient) -> None:
    for method, path in [("GET", "/nowhere"), ("PATCH", "/images"), ("GET", "/images/")]:
        assert keyed.request(method, path).status_code == 401


def test_refusal_names_the_way_to_authenticate(keyed: TestClient) -> None:
    assert keyed.get("/images").headers["WWW-Authenticate"] == 'Bearer realm="hardneg"'


def test_route_that_declares_no_role_stops_the_start() -> None:
    router = APIRouter()

    @router.get("/declared")
    @requires("train")
    def declared() -> None:
        """Have a role."""

    @router.get("/open")
    @open_to_all
    def is_open() -> None:
        """Need none."""

    roles = RouteRoles(router.routes, [])
    router.add_api_route("/forgotten", lambda: None)

    assert roles.required("GET", "/declared") is Role.TRAIN
    assert roles.required("GET", "/open") is None
    assert roles.required("POST", "/open") is Role.READ
    with pytest.raises(RoleNotDeclared, match="/forgotten"):
        RouteRoles(router.routes, [])


def test_key_is_created_shown_once_and_revoked(keyed: TestClient) -> None:
    keyed.headers["X-API-Key"] = KEY
    body = {"name": "ci", "role": "write", "expires_at": "2100-01-01T00:00:00Z"}

    created = keyed.post("/keys", json=body)
    key = created.json()["key"]
    allowed = keyed.get("/images", headers={"X-API-Key": key})
    listed = keyed.get("/keys")
    revoked = keyed.delete("/keys/ci")
    refused = keyed.get("/images", headers={"X-API-Key": key})

    assert created.status_code == 201
    assert allowed.status_code == 200
    assert [(row["name"], row["role"]) for row in listed.json()] == [("ci", "write")]
    assert key not in listed.text
    assert revoked.json()["revoked_at"]
    assert refused.status_code == 401
    assert keyed.delete("/keys/nobody").status_code == 404
    assert slug(keyed.post("/keys", json=body)) == "key-name-taken"


def test_text_of_a_key_is_not_in_the_database(keyed: TestClient, new_key: NewKey) -> None:
    key = new_key("ci", Role.READ)

    with resources_of(keyed).sessions.begin() as session:
        row = session.query(ApiKey).one()
        stored = " ".join(str(value) for value in vars(row).values())

    assert len(key.split("_", 2)[2]) == 43  # 256 bits
    assert key.split("_", 2)[2] not in stored


@on_sqlite_only
def test_key_in_the_database_closes_a_service_on_loopback(client: TestClient) -> None:
    assert client.get("/images").status_code == 200

    created = client.post("/keys", json={"name": "me", "role": "admin"}).json()

    assert client.get("/images").status_code == 401
    assert client.get("/images", headers={"X-API-Key": created["key"]}).status_code == 200
    client.delete("/keys/me", headers={"X-API-Key": created["key"]})
    assert client.get("/images").status_code == 401


def test_key_that_would_have_expired_already_is_refused(keyed: TestClient) -> None:
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()

    answer = keyed.post(
        "/keys",
        json={"name": "late", "role": "read", "expires_at": past},
        headers={"X-API-Key": KEY},
    )

    assert (answer.status_code, slug(answer)) == (422, "key-expires-in-the-past")


@on_sqlite_only
def test_first_requests_at_once_are_all_let_in(client: TestClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(client.get, "/images") for _ in range(8)]

    assert [answer.result().status_code for answer in answers] == [200] * 8


@on_sqlite_only
def test_wrong_keys_are_slowed_and_valid_ones_are_not(keyed: TestClient) -> None:
    answers = [keyed.get("/images", headers={"X-API-Key": f"w{k}"}) for k in range(WRONG_KEYS + 5)]

    statuses = [answer.status_code for answer in answers]
    assert statuses == [401] * WRONG_KEYS + [429] * 5
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_address_with_a_valid_key_is_not_shut_out_by_wrong_ones() -> None:
    now = [0.0]
    wrong_keys = WrongKeys(lambda: now[0])
    wrong_keys.note_valid("10.0.0.1")
    for host in ("10.0.0.1", "10.0.0.2"):
        for _ in range(WRONG_KEYS):
            wrong_keys.count_wrong(host)

    wrong_keys.check("10.0.0.1")
    with pytest.raises(TooManyWrongKeys):
        wrong_keys.check("10.0.0.2")
    now[0] = 60 / WRONG_KEYS
    wrong_keys.check("10.0.0.2")
    now[0] = 0.0
    for k in range(MAX_ADDRESSES):
        wrong_keys.count_wrong(f"fd00:0:0:{k:x}::1")
    assert len(wrong_keys._addresses) == MAX_ADDRESSES


def test_key_over_its_limit_waits_and_others_do_not() -> None:
    now = [0.0]
    limits = KeyLimits(2, 1000, lambda: now[0])
    first, second = Identity("a", Role.READ, 1), Identity("b", Role.READ, 2)

    limits.admit(first)
    limits.admit(first)
    with pytest.raises(KeyOverLimit) as refused:
        limits.admit(first)
    limits.admit(second)
    limits.count_bytes(second, 2000)
    with pytest.raises(KeyOverLimit, match="bytes"):
        limits.admit(second)

    assert refused.value.headers == {"Retry-After": "30"}
    now[0] = 30.0
    limits.admit(first)


def test_limits_of_a_key_are_answered_with_429(settings: Settings) -> None:
    limited = Settings(**{**dict(settings), "api_key": KEY, "key_bytes_per_minute": 1024})
    with local_client(create_app(limited)) as client:
        client.headers["X-API-Key"] = KEY
        client.post("/images", files={"files": b"x" * 2000})

        answer = client.get("/images")

    assert (answer.status_code, slug(answer)) == (429, "key-over-limit")
    assert int(answer.headers["Retry-After"]) > 0


def test_service_beyond_loopback_is_never_open(settings: Settings, tmp_path: Path) -> None:
    with local_client(create_app(Settings(**{**dict(settings), "host": "0.0.0.0"}))) as client:
        assert client.get("/images").status_code == 401
        assert client.get("/healthz").status_code == 200
