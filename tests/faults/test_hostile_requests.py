"""Every call, by callers whose role does not suffice, with a body that is never read."""

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from hardneg.schemas.keys import KeyRequest, Role
from service.app import OPEN_PATHS, create_app
from service.auth import service
from service.roles import RouteRoles
from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.service.clients import local_client
from tests.service.resources import resources_of

KEY = "a-key-of-some-length"


@pytest.fixture
def keyed(settings: Settings) -> Iterator[TestClient]:
    with local_client(create_app(Settings(**{**dict(settings), "api_key": KEY}))) as client:
        yield client


@on_sqlite_only
def test_hostile_request_of_too_low_a_role_is_refused_before_it_is_read(keyed: TestClient) -> None:
    keys: dict[Role | None, str] = {None: ""}
    with resources_of(keyed).sessions.begin() as session:
        for role in Role:
            keys[role] = service.create_key(session, KeyRequest(name=role, role=role)).key
    assert isinstance(keyed.app, FastAPI)
    roles = RouteRoles(keyed.app.routes, OPEN_PATHS)
    paths = keyed.app.openapi()["paths"]
    calls = [(method.upper(), path) for path, methods in paths.items() for method in methods]

    assert len(calls) > 30

    for method, path in calls:
        address = re.sub(r"{\w+}", str(10**30), path)
        required = roles.required(method, address)
        for caller, key in keys.items():
            if required is None or (caller is not None and caller.includes(required)):
                continue
            answer = keyed.request(
                method,
                f"{address}?n=NaN",
                headers={"X-API-Key": key, "Content-Type": "application/json"} if key else {},
                content=b"[" * 100_000,
            )
            assert answer.status_code == (401 if caller is None else 403), (
                caller,
                method,
                path,
            )
