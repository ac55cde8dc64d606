"""The audit: a row for each change, in its transaction."""

from pathlib import Path

from fastapi.testclient import TestClient
from sqlalchemy import select

from service.audit.store import record
from service.tables import AuditEvent
from tests.databases import on_sqlite_only
from tests.scenes import scene_bytes
from tests.service.conftest import AddVersion
from tests.service.resources import resources_of

Changes = list[dict[str, object]]


def changes(client: TestClient, **query: str | int) -> Changes:
    response = client.get("/audit", params=query)
    response.raise_for_status()
    items: Changes = response.json()["items"]
    return items


def upload(client: TestClient) -> int:
    return int(client.post("/images", files={"files": scene_bytes(1)}).json()["id"])


def test_verdict_is_recorded_with_what_was_before(client: TestClient) -> None:
    image = upload(client)
    box = {"box": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}, "is_object": False}
    first = client.put(f"/images/{image}/verdict", json={"verdict": "unsure", "boxes": [box]})
    second = client.put(
        f"/images/{image}/verdict",
        json={"verdict": "negative", "boxes": [box]},
        headers={"X-Request-ID": "judged-again"},
    )

    last, before = changes(client, action="judge-image")

    assert (first.status_code, second.status_code) == (200, 200)
    judged = [{"is_object": False, "label": None, "box": [1, 2, 30, 40]}]
    assert last["subject"] == f"image {image}"
    assert last["before"] == before["after"] == {"verdict": "unsure", "boxes": judged}
    assert last["after"] == {"verdict": "negative", "boxes": judged}
    assert (last["actor"], last["request_id"]) == ("anyone", "judged-again")
    assert before["before"] == {"verdict": None, "boxes": []}


def test_every_kind_of_change_is_recorded(
    client: TestClient, add_version: AddVersion, checkpoint: Path
) -> None:
    version = add_version(checkpoint, "squares")
    client.post("/model-versions/squares/activate").raise_for_status()
    image = upload(client)
    client.delete(f"/images/{image}").raise_for_status()
    job = client.post("/imports", files={"archive": ("a.tar", b"\0" * 10_240)}).json()["id"]
    client.post(f"/jobs/{job}/cancel").raise_for_status()
    key = client.post("/keys", json={"name": "ana", "role": "admin"}).json()
    client.headers["X-API-Key"] = key["key"]
    client.delete("/keys/ana").raise_for_status()
    with resources_of(client).sessions.begin() as session:
        rows = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()

    assert [(row.action, row.subject, row.actor) for row in rows] == [
        ("add-version", f"model version {version}", "anyone"),
        ("activate-version", f"model version {version}", "anyone"),
        ("delete-image", f"image {image}", "anyone"),
        ("queue-import", f"job {job}", "anyone"),
        ("cancel-job", f"job {job}", "anyone"),
        ("create-key", f"key {key['id']}", "anyone"),
        ("revoke-key", f"key {key['id']}", "ana"),
    ]
    assert [row.key_id for row in rows][-2:] == [None, key["id"]]
    assert key["key"] not in str([row.after for row in rows])


@on_sqlite_only
def test_refused_change_leaves_no_row(client: TestClient) -> None:
    image = upload(client)

    client.put(f"/images/{image}/verdict", json={"verdict": "negative", "boxes": [{}]})
    client.delete("/images/99")

    assert changes(client) == []


def test_changes_are_filtered_and_read_in_pages(client: TestClient) -> None:
    with resources_of(client).sessions.begin() as session:
        for k in range(5):
            record(session, "judge-image" if k % 2 else "delete-image", f"image {k}")

    first = client.get("/audit", params={"limit": 2}).json()
    second = changes(client, limit=2, before_id=first["next_before_id"])

    assert [row["subject"] for row in [*first["items"], *second]] == [
        f"image {k}" for k in (4, 3, 2, 1)
    ]
    assert [row["subject"] for row in changes(client, action="judge-image")] == [
        "image 3",
        "image 1",
    ]
    assert len(changes(client, subject="image 0", actor="service")) == 1
    assert changes(client, since="2100-01-01T00:00:00Z") == []
    assert client.get("/audit", params={"since": "yesterday"}).status_code == 422
