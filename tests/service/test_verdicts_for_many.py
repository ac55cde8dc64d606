"""One verdict for many images, by reviewers who work at the same time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.service.mining import send_images, send_labelled
from tests.service.test_families import family_of, group_images, send_striped


def judge(client: TestClient, verdict: str | None, **body: object) -> dict[str, Any]:
    response = client.post("/verdicts", json={"verdict": verdict, **body})
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    return report


def verdicts(client: TestClient) -> dict[int, str | None]:
    return {item["id"]: item["verdict"] for item in client.get("/images").json()["items"]}


@pytest.fixture
def images(client: TestClient) -> list[int]:
    return send_images(client, "pool", range(400, 404))


def test_verdict_of_another_reviewer_is_a_conflict_and_stays(
    client: TestClient, images: list[int]
) -> None:
    judge(client, "contains-object", image_ids=images[:1])
    judge(client, "unsure", image_ids=images[1:2])

    report = judge(
        client, "negative", image_ids=[*images, images[0]], expected={images[1]: "unsure"}
    )

    assert [item["result"] for item in report["items"]] == ["conflict"] + 3 * ["changed"]
    assert [item["verdict_before"] for item in report["items"][:3]] == [
        "contains-object",
        "unsure",
        None,
    ]
    conflict = report["items"][0]
    assert conflict["problem"]["type"] == "/problems/unexpected-verdict"
    assert conflict["verdict"] == verdicts(client)[images[0]] == "contains-object"
    assert (report["num_changed"], report["num_conflicts"]) == (3, 1)


def test_answer_undoes_the_verdict_unless_somebody_judged_again(
    client: TestClient, images: list[int]
) -> None:
    report = judge(client, "negative", image_ids=images)
    judge(client, "contains-object", image_ids=images[:1], expected={images[0]: "negative"})

    undone = judge(
        client,
        None,
        image_ids=[item["image_id"] for item in report["items"]],
        expected={item["image_id"]: item["verdict"] for item in report["items"]},
    )

    assert (undone["num_changed"], undone["num_conflicts"]) == (3, 1)
    assert verdicts(client) == {images[0]: "contains-object"} | dict.fromkeys(images[1:])
    again = judge(client, "negative", image_ids=images, overwrite=True)
    assert again["num_changed"] == 4
    recorded = client.get("/audit", params={"subject": f"image {images[0]}"}).json()["items"]
    assert [row["after"]["verdict"] for row in recorded] == [
        "negative",
        "contains-object",
        "negative",
    ]


def test_images_that_cannot_have_the_verdict_are_refused_one_by_one(
    client: TestClient, images: list[int]
) -> None:
    (labelled,) = send_labelled(client, "train", [1])
    box = {"x1": 10, "y1": 10, "x2": 60, "y2": 60}
    client.put(
        f"/images/{images[0]}/verdict",
        json={
            "verdict": "contains-object",
            "boxes": [{"box": box, "is_object": True, "label": "red"}],
        },
    ).raise_for_status()

    report = judge(
        client, "negative", image_ids=[labelled, 999, images[0], images[1]], overwrite=True
    )

    assert [item["result"] for item in report["items"]] == 3 * ["refused"] + ["changed"]
    assert [item["problem"]["type"] for item in report["items"][:3]] == [
        "/problems/image-is-labelled",
        "/problems/unknown-image",
        "/problems/contradictory-verdict",
    ]
    assert verdicts(client)[images[0]] == "contains-object"


def test_two_reviewers_at_once_never_judge_an_image_twice(
    client: TestClient, images: list[int]
) -> None:
    def review(verdict: str) -> dict[str, Any]:
        order = images if verdict == "negative" else images[::-1]
        return judge(client, verdict, image_ids=order)

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(review, ["negative", "unsure", "negative", "unsure"]))

    assert sum(report["num_changed"] for report in reports) == len(images)
    assert set(verdicts(client).values()) <= {"negative", "unsure"}


@on_sqlite_only
def test_family_is_judged_by_one_call(serving: TestClient, settings: Settings) -> None:
    striped = send_striped(serving, "pool", range(500, 504))
    families = group_images(serving, settings)
    family = family_of(serving, families, striped[0])

    report = judge(serving, "negative", family_id=family["id"])

    assert [item["image_id"] for item in report["items"]] == [
        member["image"]["id"] for member in family["members"]
    ]
    shown = serving.get(f"/families/{family['id']}").json()
    assert shown["verdicts"]["negative"] == report["num_changed"] == family["size"]


UNCLEAR: list[tuple[dict[str, object], int]] = [
    ({"verdict": "negative"}, 422),
    ({"verdict": "negative", "image_ids": []}, 422),
    ({"verdict": "negative", "image_ids": [1], "family_id": 1}, 422),
    ({"verdict": "negative", "image_ids": list(range(1, 1002))}, 422),
    ({"verdict": "negative", "image_ids": [2**63]}, 422),
    ({"verdict": "maybe", "image_ids": [1]}, 422),
    ({"image_ids": [1]}, 422),
    ({"verdict": "negative", "image_ids": [1], "expected": {"x": None}}, 422),
    ({"verdict": "negative", "family_id": 7}, 404),
]


@on_sqlite_only
def test_unclear_requests_are_refused(client: TestClient) -> None:
    answered = [client.post("/verdicts", json=body).status_code for body, _ in UNCLEAR]

    assert answered == [status for _, status in UNCLEAR]
