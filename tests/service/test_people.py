"""People who sign in with an identity provider."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from pydantic import ValidationError
from sqlalchemy import select

from hardneg.schemas.keys import Role
from service.app import create_app
from service.auth import allowances
from service.auth import provider as provider_module
from service.auth.allowances import WRONG_KEYS
from service.auth.errors import PersonWithoutRole
from service.auth.people import person_of
from service.settings import Settings
from service.tables import AuditEvent
from tests.databases import on_sqlite_only
from tests.service.clients import local_client
from tests.service.identity_provider import CLIENT_ID, behave, http, oidc_settings, running_provider
from tests.service.resources import resources_of

GROUPS = {"groups": ["staff", "labelling"]}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with running_provider() as url:
        yield url


@pytest.fixture
def browser(settings: Settings, issuer: str) -> Iterator[TestClient]:
    """Yield a client of a service that knows no key, only an identity provider."""
    behave(issuer, {"claims": GROUPS})
    with local_client(
        create_app(Settings(**{**dict(settings), **oidc_settings(issuer)}))
    ) as client:
        yield client


def answer_of_provider(browser: TestClient, next_path: str = "/") -> str:
    """Go to the provider and return the address that it sends the browser back to."""
    begun = browser.get("/session/oidc", params={"next": next_path}, follow_redirects=False)
    assert begun.status_code == 303
    answer = http.get(begun.headers["Location"])
    assert answer.status_code == 302
    return str(answer.headers["Location"])


def sign_in(browser: TestClient) -> Response:
    return browser.get(answer_of_provider(browser))


def slug(response: Response) -> str:
    return str(response.json()["type"]).removeprefix("/problems/")


def test_person_signs_in_with_the_role_of_their_group_and_is_named_in_the_audit(
    browser: TestClient, issuer: str
) -> None:
    before = browser.get("/images")
    done = browser.get(answer_of_provider(browser, "/dashboard/review"))
    shown = browser.get("/session").json()
    csrf = {"X-CSRF-Token": shown["csrf_token"]}
    judged = browser.put("/images/1/verdict", json={"verdict": "unsure"}, headers=csrf)
    deleted = browser.delete("/images/1", headers=csrf)
    signed_out = browser.delete("/session", headers=csrf)

    assert before.status_code == 401
    assert 'content="0;url=/dashboard/review"' in done.text
    assert (shown["name"], shown["role"]) == ("ana@example.com", "review")
    assert (judged.status_code, slug(judged)) == (404, "unknown-image")
    assert (deleted.status_code, slug(deleted)) == (403, "role-too-low")
    assert signed_out.status_code == 204
    assert browser.get("/images").status_code == 401
    with resources_of(browser).sessions.begin() as session:
        events = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
        assert [(event.actor, event.action) for event in events] == [
            ("ana@example.com", "sign-in"),
            ("ana@example.com", "sign-out"),
        ]
        assert events[0].after == {"issuer": issuer, "subject": "sub-of-ana"}


ATTACKS: dict[str, dict[str, Any]] = {
    "forged signature": {"forged": True},
    "no signature": {"alg": "none"},
    "public key as a secret": {"alg": "HS256"},
    "key that the token brings along": {"forged": True, "header": {"jwk": {"kty": "RSA"}}},
    "unknown key": {"header": {"kid": "../../../etc/passwd"}},
    "another audience": {"claims": {"aud": "another-program"}},
    "issued to another program": {"claims": {"aud": [CLIENT_ID, "other"], "azp": "other"}},
    "several audiences": {"claims": {"aud": [CLIENT_ID, "other"]}},
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "another nonce": {"claims": {"nonce": "of-another-sign-in"}},
    "no nonce": {"claims": {"nonce": None}},
    "expired": {"claims": {"exp": 1_000_000_000}},
    "expires never": {"claims": {"exp": None}},
    "expires as text": {"claims": {"exp": "tomorrow"}},
    "issued in the future": {"claims": {"iat": 9_000_000_000}},
    "no subject": {"claims": {"sub": None}},
    "subject that is a list": {"claims": {"sub": ["ana"]}},
    "subject of control characters": {"claims": {"sub": "ana\r\nrole=admin", **GROUPS}},
    "no ID token": {"tokens": {"id_token": None}},
    "ID token that is none": {"tokens": {"id_token": "a.b.c"}},
    "ID token of other letters": {"tokens": {"id_token": "ü.\u0000.💥"}},
    "user's information of another person": {"userinfo": {"sub": "eve", "groups": ["ml"]}},
}


@on_sqlite_only
def test_answer_that_proves_nothing_is_refused(
    browser: TestClient, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowances, "WRONG_KEYS", 10 * len(ATTACKS))

    for attack, behaviour in ATTACKS.items():
        behave(issuer, behaviour)
        refused = sign_in(browser)
        assert (refused.status_code, slug(refused)) == (403, "sign-in-refused"), attack
        assert browser.get("/images").status_code == 401


@on_sqlite_only
def test_answer_is_good_for_one_browser_and_once(browser: TestClient) -> None:
    answer = answer_of_provider(browser)
    attempt = dict(browser.cookies)
    other_state = answer.replace("state=", "state=x")
    without_code = browser.get(
        "/session/oidc/callback", params={"state": answer.split("state=")[1]}
    )
    stolen = httpx.URL(answer).raw_path.decode()

    browser.cookies.clear()
    by_another_browser = browser.get(stolen)
    cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in attempt.items())}
    mixed_up = browser.get(other_state, headers=cookie)
    forged = browser.get(stolen, headers={"Cookie": cookie["Cookie"][:-3] + "AAA"})
    first = browser.get(answer, headers=cookie)
    browser.cookies.clear()
    again = browser.get(answer, headers=cookie)

    assert first.status_code == 200
    for refused in (without_code, by_another_browser, mixed_up, forged, again):
        assert (refused.status_code, slug(refused)) == (403, "sign-in-refused")
    assert browser.get("/images").status_code == 401


@on_sqlite_only
def test_person_without_a_group_of_ours_is_told_whom_to_ask(
    browser: TestClient, issuer: str
) -> None:
    behave(issuer, {"claims": {"groups": "strangers"}})

    refused = sign_in(browser)
    page = browser.get(answer_of_provider(browser), headers={"Accept": "text/html"})

    assert (refused.status_code, slug(refused)) == (403, "person-without-role")
    assert "no group of yours has a role here" in page.text
    assert 'href="/session/oidc?next=/"' in page.text


@on_sqlite_only
def test_groups_may_come_with_the_users_information_and_keys_may_change(
    browser: TestClient, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sign_in(browser).status_code == 200
    monkeypatch.setattr(provider_module, "RENEWED_AFTER_S", 0.0)
    kept = {"sub": "sub-of-ana", "groups": ["ml"]}
    behave(issuer, {"rotated_to": "second", "header": {"kid": "second"}, "userinfo": kept})

    assert sign_in(browser).status_code == 200
    assert browser.get("/session").json()["role"] == "train"
    behave(issuer, {"rotated_to": "first"})


@on_sqlite_only
def test_guessing_is_slowed_and_a_provider_that_is_away_is_a_503(
    browser: TestClient, settings: Settings
) -> None:
    for _ in range(WRONG_KEYS):
        assert browser.get("/session/oidc/callback?code=x&state=y").status_code == 403
    slowed = browser.get("/session/oidc/callback?code=x&state=y")
    away = oidc_settings("http://127.0.0.1:1")
    with local_client(create_app(Settings(**{**dict(settings), **away}))) as other:
        unanswered = other.get("/session/oidc")

    assert (slowed.status_code, slug(slowed)) == (429, "too-many-wrong-keys")
    assert (unanswered.status_code, slug(unanswered)) == (503, "identity-provider-away")
    assert "Retry-After" in unanswered.headers


def test_highest_role_counts_and_unverified_mail_is_no_name() -> None:
    roles = {"*": Role.READ, "ml": Role.TRAIN, "labelling": Role.REVIEW}
    claims = {"sub": "7", "email": "boss@example.com", "realm": {"roles": ["labelling", "ml", 3]}}

    ana = person_of(claims, "realm.roles", roles)
    guest = person_of({**claims, "email_verified": True}, "realm.none", roles)

    assert (ana.identity.name, ana.identity.role) == ("7", Role.TRAIN)
    assert (guest.identity.name, guest.identity.role) == ("boss@example.com", Role.READ)
    with pytest.raises(PersonWithoutRole):
        person_of(claims, "realm", {"ml": Role.TRAIN})


@pytest.mark.parametrize(
    "wrong",
    [
        {"oidc_issuer": "http://id.example"},
        {"oidc_issuer": "https://id.example"},
        {"oidc_roles": "ml-team"},
        {"oidc_roles": "ml-team=owner"},
    ],
)
def test_settings_that_would_let_no_one_or_anyone_in_stop_the_start(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"https|needs|group and a role"):
        Settings(**wrong)  # type: ignore[arg-type]
