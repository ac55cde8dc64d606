"""Browsers that sign in with a key."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from hardneg.schemas.keys import KeyRequest, Role
from service.app import create_app
from service.auth import service
from service.auth.sign_in import COOKIE, GRACE, ROTATED_AFTER
from service.settings import Settings
from service.tables import AuditEvent, SignIn, utc_now
from tests.databases import on_sqlite_only
from tests.service.clients import local_client
from tests.service.resources import resources_of

KEY = "a-key-of-some-length"


@pytest.fixture
def browser(settings: Settings) -> Iterator[TestClient]:
    with local_client(create_app(Settings(**{**dict(settings), "api_key": KEY}))) as client:
        yield client


def sign_in(browser: TestClient, key: str = KEY) -> str:
    """Sign in, and return the CSRF token; the client keeps the cookie."""
    response = browser.post("/session", data={"key": key})
    response.raise_for_status()
    return str(response.json()["csrf_token"])


def test_cookie_lets_a_browser_in_until_it_signs_out(browser: TestClient) -> None:
    csrf_token = sign_in(browser)
    cookie = browser.cookies[COOKIE]

    shown = browser.get("/session").json()
    listed = browser.get("/images")
    signed_out = browser.delete("/session", headers={"X-CSRF-Token": csrf_token})

    assert (shown["role"], shown["csrf_token"]) == ("admin", csrf_token)
    assert (listed.status_code, signed_out.status_code) == (200, 204)
    assert browser.get("/images", headers={"Cookie": f"{COOKIE}={cookie}"}).status_code == 401
    with resources_of(browser).sessions.begin() as session:
        actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
        assert actions == ["sign-in", "sign-out"]


@on_sqlite_only
def test_no_script_and_no_other_site_can_use_the_cookie(browser: TestClient) -> None:
    header = browser.post("/session", data={"key": KEY}).headers["Set-Cookie"]
    csrf_token = browser.get("/session").json()["csrf_token"]

    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(header.split("; "))
    for headers in ({}, {"X-CSRF-Token": "wrong"}):
        refused = browser.delete("/images/1", headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/wrong-csrf-token")
    assert browser.delete("/images/1", headers={"X-CSRF-Token": csrf_token}).status_code == 404


@on_sqlite_only
def test_session_ends_with_its_key_and_with_its_time(browser: TestClient) -> None:
    resources = resources_of(browser)
    with resources.sessions.begin() as session:
        key = service.create_key(session, KeyRequest(name="ana", role=Role.REVIEW)).key
    sign_in(browser, key)
    valid = browser.get("/session").json()

    browser.delete("/keys/ana", headers={"X-API-Key": KEY}).raise_for_status()

    assert (valid["name"], valid["role"]) == ("ana", "review")
    assert browser.get("/images").status_code == 401
    sign_in(browser)
    with resources.sessions.begin() as session:
        session.execute(update(SignIn).values(expires_at=utc_now() - timedelta(seconds=1)))
    browser.app.state.key_ring.forget()  # type: ignore[attr-defined]
    assert browser.get("/images").status_code == 401


@on_sqlite_only
def test_token_is_rotated_and_the_one_before_stays_for_a_moment(browser: TestClient) -> None:
    sign_in(browser)
    before = browser.cookies[COOKIE]
    ring = browser.app.state.key_ring  # type: ignore[attr-defined]
    with resources_of(browser).sessions.begin() as session:
        session.execute(update(SignIn).values(rotated_at=utc_now() - ROTATED_AFTER))

    browser.get("/session").raise_for_status()
    after = browser.cookies[COOKIE]
    old = {"Cookie": f"{COOKIE}={before}"}
    in_time = browser.get("/images", headers=old).status_code
    with resources_of(browser).sessions.begin() as session:
        session.execute(update(SignIn).values(rotated_at=utc_now() - GRACE))
    ring.forget()
    browser.cookies.clear()
    too_late = browser.get("/images", headers=old).status_code

    assert after != before
    assert (in_time, too_late) == (200, 401)
    assert browser.get("/images", headers={"Cookie": f"{COOKIE}={after}"}).status_code == 200


@on_sqlite_only
def test_person_without_a_session_is_led_through_the_sign_in_page(browser: TestClient) -> None:
    page = {"Accept": "text/html,*/*"}

    led = browser.get("/dashboard/review", headers=page, follow_redirects=False)
    form = browser.get(led.headers["Location"])
    wrong = {"key": "wrong", "next": "/dashboard/review"}
    refused = browser.post("/session", data=wrong, headers=page)
    right = {"key": KEY, "next": "/dashboard/review"}
    done = browser.post("/session", data=right, headers=page, follow_redirects=False)
    shown = browser.get("/dashboard/review")

    assert (led.status_code, led.headers["Location"]) == (303, "/sign-in?next=/dashboard/review")
    assert 'value="/dashboard/review"' in form.text
    assert "does not know this key" in refused.text
    assert (done.status_code, done.headers["Location"]) == (303, "/dashboard/review")
    assert 'name="csrf-token"' in shown.text
    assert "Signed in as HARDNEG_API_KEY" in shown.text
    evil = browser.post("/session", data={"key": KEY, "next": "//evil.example"}, headers=page)
    assert evil.url.host != "evil.example"
