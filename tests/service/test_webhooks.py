"""Events for other systems: written with their change, signed, and sent until they arrive."""

import base64
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from sqlalchemy import select, update

from service.app import create_app
from service.settings import Settings
from service.tables import OutboxEvent, utc_now
from service.webhooks.outbox import emit
from service.webhooks.sender import MAX_FAILURES, send_due
from tests.databases import on_sqlite_only
from tests.scenes import scene_bytes
from tests.service.clients import local_client
from tests.service.conftest import AddVersion
from tests.service.job_kinds import wait_until
from tests.service.resources import resources_of

SECRET = "a secret for the tests"


class Receiver(HTTPServer):
    """Another system: keeps what it receives, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 204
        self.received: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((dict(self.headers.items()), body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


@pytest.fixture
def client(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """Start a service with webhooks, whose own thread does not send."""
    monkeypatch.setattr("service.webhooks.sender.POLL_S", 600.0)
    hooked = {
        "webhook_urls": receiver.url,
        "webhook_secret": SECRET,
        "webhook_private_addresses": True,
    }
    with local_client(create_app(Settings(**{**dict(settings), **hooked}))) as client:
        yield client


def emit_failure(client: TestClient) -> None:
    with resources_of(client).sessions.begin() as session:
        emit(session, "job-failed", "job 7", {"kind": "import", "reason": "no zip"})


def outbox(client: TestClient) -> list[OutboxEvent]:
    with resources_of(client).sessions.begin() as session:
        return list(session.scalars(select(OutboxEvent)))


def test_event_arrives_signed_and_in_the_form_of_cloud_events(
    client: TestClient, receiver: Receiver
) -> None:
    emit_failure(client)

    send_due(resources_of(client))
    send_due(resources_of(client))

    ((headers, body),) = receiver.received
    event = json.loads(body)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.digest(SECRET.encode(), signed, sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert headers["Content-Type"] == "application/cloudevents+json"
    assert headers["Host"] == f"localhost:{receiver.server_port}"
    assert (event["specversion"], event["type"]) == ("1.0", "hardneg.job-failed")
    assert (event["subject"], event["data"]["reason"]) == ("job 7", "no zip")


def test_event_is_sent_again_until_it_is_taken_or_given_up(
    client: TestClient, receiver: Receiver
) -> None:
    emit_failure(client)
    receiver.status = 500
    send_due(resources_of(client))
    (event,) = outbox(client)
    send_due(resources_of(client))  # too early

    assert len(receiver.received) == event.num_failures == 1
    assert event.next_try_at is not None
    assert timedelta(seconds=5) < event.next_try_at - utc_now() < timedelta(seconds=15)
    with resources_of(client).sessions.begin() as session:
        due = {"next_try_at": utc_now(), "num_failures": MAX_FAILURES - 1}
        session.execute(update(OutboxEvent).values(due))
    send_due(resources_of(client))
    assert [event.next_try_at for event in outbox(client)] == [None]


@on_sqlite_only
def test_event_of_an_undone_change_is_never_sent(client: TestClient, receiver: Receiver) -> None:
    session = resources_of(client).sessions()
    emit(session, "job-failed", "job 7", {})
    session.rollback()

    send_due(resources_of(client))

    assert outbox(client) == []
    assert receiver.received == []


@on_sqlite_only
def test_private_address_is_not_called(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.webhooks.sender.POLL_S", 600.0)
    hooked = {"webhook_urls": receiver.url, "webhook_secret": SECRET}
    with local_client(create_app(Settings(**{**dict(settings), **hooked}))) as client:
        emit_failure(client)
        send_due(resources_of(client))

        assert receiver.received == []
        assert [event.num_failures for event in outbox(client)] == [1]


@on_sqlite_only
def test_pool_that_is_scored_is_told_once(
    client: TestClient, receiver: Receiver, add_version: AddVersion, checkpoint: Path
) -> None:
    add_version(checkpoint, "squares")
    client.post("/images", files={"files": scene_bytes(1)}).raise_for_status()
    client.post("/model-versions/squares/activate").raise_for_status()

    wait_until(lambda: len(outbox(client)) > 0, timeout_s=60)

    (event,) = outbox(client)
    assert (event.type, event.data) == ("pool-scored", {"num_images": 1})


def test_addresses_need_a_secret_and_a_scheme() -> None:
    with pytest.raises(ValidationError, match="HARDNEG_WEBHOOK_SECRET"):
        Settings(webhook_urls="https://example.org/hook")
    with pytest.raises(ValidationError, match="not an http or https URL"):
        Settings(webhook_urls="ftp://example.org", webhook_secret=SECRET)
