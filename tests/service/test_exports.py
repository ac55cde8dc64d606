"""Exports over HTTP; `exports/test_formats.py` reads what is in them."""

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from hardneg.schemas.exports import ExportFormat
from service.hard_negatives import export as list_export
from service.tables import Job, TrainingRun
from service.training_runs import export as run_export
from service.training_runs import store as run_store
from tests.service.exports.unpacking import record_of, unpack
from tests.service.mining import send_everything, send_images, send_labelled
from tests.service.resources import resources_of


def export(client: TestClient, **params: str | float) -> Response:
    return client.get("/hard-negatives/export", params={"format": "jsonl", **params})


def ids_in(response: Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [line["image_id"] for line in record_of(response.content)]


def listed(client: TestClient, **params: str | float) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/hard-negatives", params=params).json()["items"]
    return items


def judge(client: TestClient, image_id: int, verdict: str) -> None:
    client.put(f"/images/{image_id}/verdict", json={"verdict": verdict}).raise_for_status()


def test_export_is_the_ranked_list(serving: TestClient, tmp_path: Path) -> None:
    send_everything(serving)
    items = listed(serving, n=4)

    response = export(serving, n=4)

    assert response.headers["content-type"] == "application/zip"
    assert 'filename="hard-negatives-squares-jsonl.zip"' in response.headers["content-disposition"]
    lines = record_of(response.content)
    folder = unpack(response.content, tmp_path / "export")
    for line, item in zip(lines, items, strict=True):
        assert line["image_id"] == item["image"]["id"]
        assert (line["rank"], line["model_version"]) == (item["rank"], "squares")
        assert (line["max_score"], line["log_odds"]) == (item["max_score"], item["log_odds"])
        assert line["detections"] == item["detections"]
        content = (folder / line["file_name"]).read_bytes()
        assert sha256(content).hexdigest() == line["sha256"] == item["image"]["sha256"]
        assert line["url"] == f"http://localhost{item['image']['links']['content']}"


def test_list_longer_than_a_page_is_exported_whole(
    serving: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_everything(serving)
    monkeypatch.setattr(list_export, "PAGE_SIZE", 3)
    ranked = [item["image"]["id"] for item in listed(serving, n=100)]

    assert [ids_in(export(serving, n=n)) for n in (2, 3, 4, 7, 100)] == [
        ranked[:n] for n in (2, 3, 4, 7, 100)
    ]


def test_sealed_images_and_those_with_an_object_are_never_exported(serving: TestClient) -> None:
    sealed = send_images(serving, "negative-test", range(300, 303))
    pool = send_images(serving, "pool", range(400, 404))
    judge(serving, pool[0], "contains-object")
    judge(serving, pool[1], "unsure")
    box = {"x1": 1, "y1": 2, "x2": 30, "y2": 40}
    boxes = [{"box": box, "is_object": False, "label": "red"}]
    serving.put(f"/images/{pool[2]}/verdict", json={"verdict": "negative", "boxes": boxes})
    digests = [
        serving.get(f"/images/{image_id}").json()["sha256"] for image_id in (*sealed, pool[0])
    ]
    expected = {
        "": pool[1:],
        "any": pool[1:],
        "none": pool[3:],
        "unsure": pool[1:2],
        "negative": pool[2:3],
    }

    for verdict, image_ids in expected.items():
        response = export(serving, n=100, **({"verdict": verdict} if verdict else {}))

        assert set(ids_in(response)) == set(image_ids)
        for digest in digests:
            assert digest[:16].encode() not in response.content
    (line,) = record_of(response.content)
    assert (line["verdict"], line["verdict_by"], line["split"]) == ("negative", None, "pool")
    assert line["judged_boxes"] == boxes


def test_judged_objects_are_exported_as_labels(serving: TestClient, tmp_path: Path) -> None:
    pool = send_images(serving, "pool", range(400, 404))
    true, false = {"x1": 1, "y1": 2, "x2": 31, "y2": 42}, {"x1": 40, "y1": 2, "x2": 60, "y2": 22}
    boxes = [{"box": box, "is_object": box is true, "label": "green"} for box in (true, false)]
    judged = {"verdict": "contains-object", "boxes": boxes}
    serving.put(f"/images/{pool[0]}/verdict", json=judged).raise_for_status()
    judge(serving, pool[1], "contains-object")  # nobody has said where

    response = export(serving, n=100, format="coco", verdict="contains-object")

    (line,) = record_of(response.content)
    assert (line["image_id"], line["role"], line["num_objects"]) == (pool[0], "judged", 1)
    coco = json.loads((unpack(response.content, tmp_path) / "annotations.json").read_bytes())
    (annotation,) = coco["annotations"]
    names = {category["id"]: category["name"] for category in coco["categories"]}
    assert annotation["bbox"] == [1, 2, 30, 40]
    assert names[annotation["category_id"]] == "green"  # which the version does not know


def test_filters_are_those_of_the_list(serving: TestClient) -> None:
    send_everything(serving)
    median = listed(serving, n=10)[4]["max_score"]

    for params in ({"min_score": median}, {"max_score": median}, {"label": "red"}, {"source": "x"}):
        found = [item["image"]["id"] for item in listed(serving, n=100, **params)]
        assert ids_in(export(serving, n=100, **params)) == found


def test_impossible_exports_are_problems(
    serving: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    cases: list[tuple[dict[str, str | float], int, str]] = [
        ({"format": "unknown"}, 422, "invalid-request"),
        ({"n": 0}, 422, "invalid-request"),
        ({"n": 100_001}, 422, "invalid-request"),
        ({"images": "some"}, 422, "invalid-request"),
        ({"label": "unknown"}, 422, "unknown-label"),
        ({"model_version": "unknown"}, 404, "unknown-model-version"),
        ({"format": "parquet"}, 422, "export-extra-missing"),
    ]

    for params, status, slug in cases:
        response = export(serving, **params)

        assert (response.status_code, response.json()["type"]) == (status, f"/problems/{slug}")


def test_export_without_a_version_is_409(client: TestClient) -> None:
    assert export(client).json()["type"] == "/problems/no-serving-version"


def test_temporary_files_are_gone_after_the_last_byte(
    serving: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_images(serving, "pool", range(400, 404))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))

    export(serving, format="yolo")

    assert [*(tmp_path / "tmp").iterdir()] == []


AddRun = Callable[[dict[str, list[int]]], int]


@pytest.fixture
def add_run(serving: TestClient) -> AddRun:
    """Return a function that freezes images by their role, with the serving version as parent."""

    def add(images: dict[str, list[int]]) -> int:
        with resources_of(serving).sessions.begin() as session:
            job = Job(kind="retrain", lane="training", status="done", params={}, max_failures=3)
            session.add(job)
            session.flush()
            run = TrainingRun(job_id=job.id, iteration=1, parent_version_id=1, params={})
            lines = {role: [(image_id, "") for image_id in found] for role, found in images.items()}
            run_store.add_run(session, run, lines)
            return run.id

    return add


def export_run(client: TestClient, run_id: int, **params: str) -> Response:
    return client.get(f"/training-runs/{run_id}/export", params={"format": "jsonl", **params})


def test_run_is_exported_whole_or_as_its_new_negatives(
    serving: TestClient, add_run: AddRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_export, "PAGE_SIZE", 2)
    labelled = send_labelled(serving, "train", range(100, 103))
    pool = send_images(serving, "pool", range(400, 405))
    run_id = add_run({"labelled": labelled, "kept": pool[:2], "mined": pool[2:4]})

    whole = export_run(serving, run_id)
    delta = export_run(serving, run_id, content="delta")

    lines = {line["image_id"]: line for line in record_of(whole.content)}
    assert list(lines) == [*labelled, *pool[:4]]
    assert [line["role"] for line in lines.values()] == ["labelled"] * 3 + ["kept"] * 2 + [
        "mined"
    ] * 2
    assert [line["num_objects"] for line in lines.values()] == [1] * 3 + [0] * 4
    assert lines[pool[0]]["model_version"] == "squares"
    assert lines[pool[0]]["max_score"] is not None
    assert lines[labelled[0]]["model_version"] is None
    assert ids_in(delta) == pool[2:4]


def test_images_that_left_the_list_are_not_exported(serving: TestClient, add_run: AddRun) -> None:
    pool = send_images(serving, "pool", range(400, 404))
    run_id = add_run({"labelled": [], "kept": [pool[0]], "mined": pool[1:]})
    judge(serving, pool[0], "contains-object")
    judge(serving, pool[1], "contains-object")
    serving.delete(f"/images/{pool[2]}").raise_for_status()

    assert ids_in(export_run(serving, run_id)) == [pool[3]]


def test_run_of_labelled_images_and_negatives_has_every_format(
    serving: TestClient, add_run: AddRun
) -> None:
    labelled = send_labelled(serving, "train", [100], label="a class of its own")
    pool = send_images(serving, "pool", [400, 401])
    run_id = add_run({"labelled": labelled, "mined": pool})

    for name in ExportFormat:
        assert ids_in(export_run(serving, run_id, format=name)) == [*labelled, *pool]


def test_export_of_an_unknown_run_is_404(client: TestClient) -> None:
    response = export_run(client, 9, content="delta")

    assert response.json()["type"] == "/problems/unknown-training-run"
