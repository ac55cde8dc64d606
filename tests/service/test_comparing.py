"""The preview of a retrain request, and the images on which a version stopped firing."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.db import open_engine, open_sessions
from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.service.mining import QUICK, retrain, send_everything, send_images
from tests.service.oracle import Oracle


def top_scores(settings: Settings, version_id: int) -> dict[int, float]:
    """Return the score of the best detection on each sealed image that has one."""
    engine = open_engine(settings.sqlalchemy_url)
    with open_sessions(engine).begin() as session:
        found = Oracle(session, version_id).on_negatives
    engine.dispose()
    best: dict[int, float] = {}
    for detection in found:
        best[detection.image_id] = max(detection.score, best.get(detection.image_id, 0.0))
    return best


def ids(report: dict[str, Any]) -> list[int]:
    return [item["image"]["id"] for item in report["items"]]


def test_preview_is_what_the_round_then_does_and_changes_compare_by_image(
    serving: TestClient, settings: Settings
) -> None:
    send_everything(serving)
    hardest = serving.get("/hard-negatives", params={"n": 3}).json()["items"]

    preview = serving.post(
        "/retrain/preview", params={"num_shown": 2}, json={**QUICK, "num_negatives": 3}
    ).json()
    job = retrain(serving, settings, num_negatives=3, promotion="never")
    run = serving.get("/training-runs", params={"job_id": job["id"]}).json()["items"][0]

    assert [item["image"] for item in preview["mined"]] == [row["image"] for row in hardest[:2]]
    assert preview["mined"][0]["detections"] == hardest[0]["detections"]
    for name in ("num_labelled", "num_kept", "num_mined"):
        assert preview[name] == run[name]
    assert (preview["parent_version"], preview["num_val"]) == ("squares", 4)
    assert preview["num_steps"] == run["history"][-1]["step"] == 4
    assert (preview["learning_rate"], preview["estimated_s"]) == (1e-3, None)
    page = serving.get(f"/training-runs/{run['id']}/mined", params={"limit": 2}).json()
    assert [item["image"] for item in page["items"]] == [row["image"] for row in hardest[:2]]
    assert page["items"][0]["before"]["max_score"] == hardest[0]["max_score"]
    now = serving.get("/hard-negatives", params={"model_version": "v2"}).json()["items"]
    scores = {row["image"]["id"]: row["max_score"] for row in now}
    assert page["items"][0]["now"]["max_score"] == scores[hardest[0]["image"]["id"]]
    assert page["next_offset"] == 2
    # twice the steps take longer than the round just done, as long as that is measured
    again = serving.post("/retrain/preview", json={**QUICK, "epochs": 4}).json()
    assert again["estimated_s"] > sum(epoch["duration_s"] for epoch in run["history"])

    before, now = top_scores(settings, 1), top_scores(settings, 2)
    thresholds = {"threshold_before": sorted(before.values())[2], "threshold": 0.05}
    for change in ("stopped", "started", "stayed"):
        params = {"model_version": "v2", "change": change, **thresholds}
        report = serving.get("/stats/firing", params=params).json()
        fired = {key for key, score in before.items() if score >= thresholds["threshold_before"]}
        fires = {key for key, score in now.items() if score >= thresholds["threshold"]}
        expected = {"stopped": fired - fires, "started": fires - fired, "stayed": fired & fires}
        assert (report["before"], report["num_images"], report["num_unscored"]) == ("squares", 6, 0)
        assert report[change] == len(report["items"]) == len(expected[change])
        surest = before if change == "stopped" else now
        assert ids(report) == sorted(expected[change], key=lambda key: (-surest[key], key))
    query = "model_version=v2&split=pool&change=stayed&limit=4&threshold=0.05&threshold_before=0.05"
    mined = serving.get(f"/stats/firing?{query}").json()
    is_mined = {row["image"]["id"] for row in hardest}
    assert mined["next_offset"] in (4, None)
    assert all(item["is_trained"] == (item["image"]["id"] in is_mined) for item in mined["items"])


@on_sqlite_only
@pytest.mark.parametrize(
    ("query", "status", "slug"),
    [
        ("model_version=squares", 422, "nothing-to-compare"),
        ("model_version=none", 404, "unknown-model-version"),
        ("before=squares&threshold=0.01", 422, "threshold-too-low"),
        ("before=squares&offset=-1", 422, "invalid-request"),
    ],
)
def test_comparison_that_is_none_says_what_to_change(
    serving: TestClient, query: str, status: int, slug: str
) -> None:
    response = serving.get(f"/stats/firing?{query}")

    assert response.status_code == status
    assert response.json()["type"].endswith(slug)


@on_sqlite_only
def test_preview_is_refused_where_the_retraining_would_be(client: TestClient) -> None:
    send_images(client, "pool", [1, 2])

    refused = [client.post(path, json={}) for path in ("/retrain", "/retrain/preview")]

    assert refused[0].status_code == refused[1].status_code == 409
    assert refused[0].json()["detail"] == refused[1].json()["detail"]
