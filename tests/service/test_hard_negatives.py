import math
from collections.abc import Callable

import pytest
import torch
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text

from models.detectors.detections import Detections
from models.inference.predict import Prediction
from service.scoring import store
from service.scoring.results import ScoringFailure
from service.tables import Image, Job, ModelVersion, TrainingRun
from service.training_runs import store as run_store
from tests.scenes import ORANGE, RED, scene_bytes
from tests.service.resources import resources_of

SaveScore = Callable[..., int]


@pytest.fixture
def save_score(client: TestClient) -> SaveScore:
    """Return a function that writes an image and its score by version v1, like the scorer."""
    sessions = resources_of(client).sessions
    with sessions.begin() as session:
        version = ModelVersion(
            name="v1",
            architecture="ssd_small",
            class_names=["red", "blue"],
            spec={},
            checkpoint_sha256="0" * 64,
            checkpoint_key="none",
            checkpoint_size_bytes=1,
        )
        session.add(version)

    def save(
        log_odds: float | None,
        *,
        split: str = "pool",
        source: str = "",
        verdict: str | None = None,
        label: int | None = None,
        failure: str | None = None,
    ) -> int:
        max_score = None if log_odds is None else 1 / (1 + math.exp(-log_odds))
        count = 0 if label is None else 1
        detections = Detections(
            boxes=torch.tensor([[1.0, 2.0, 3.0, 4.0]])[:count],
            scores=torch.tensor([max_score or 0.0])[:count],
            labels=torch.tensor([label or 1])[:count],
        )
        prediction = Prediction(max_score, log_odds, detections)
        result = ScoringFailure(failure) if failure else prediction
        with sessions.begin() as session:
            image = Image(
                sha256=f"{id(object()):x}-{session.query(Image).count()}",
                blob_key="none",
                split=split,
                source=source,
                file_name="a.png",
                media_type="image/png",
                size_bytes=1,
                width=4,
                height=4,
                verdict=verdict,
            )
            session.add(image)
            session.flush()
            store.save_scores(session, version.id, {image.id: result})
            return image.id

    return save


def ids(client: TestClient, **params: str | float) -> list[int]:
    response = client.get("/hard-negatives", params={"model_version": "v1", **params})
    response.raise_for_status()
    return [item["image"]["id"] for item in response.json()["items"]]


def test_worst_image_comes_first(client: TestClient, save_score: SaveScore) -> None:
    dusk, fog, snow = save_score(0.5), save_score(2.0), save_score(-3.0)

    assert ids(client) == [fog, dusk, snow]


def test_saturated_scores_are_ranked_by_log_odds(client: TestClient, save_score: SaveScore) -> None:
    sure, surest = save_score(50.0), save_score(60.0)

    page = client.get("/hard-negatives", params={"model_version": "v1"}).json()

    assert [item["max_score"] for item in page["items"]] == [1.0, 1.0]
    assert [item["image"]["id"] for item in page["items"]] == [surest, sure]


def test_equal_scores_rank_in_image_order(client: TestClient, save_score: SaveScore) -> None:
    same = [save_score(1.0) for _ in range(4)]

    assert ids(client) == same


def test_image_without_a_score_ranks_last_and_a_failed_one_is_not_listed(
    client: TestClient, save_score: SaveScore
) -> None:
    nothing_found = save_score(None)
    save_score(None, failure="not a finite number")
    low = save_score(-9.0)

    page = client.get("/hard-negatives", params={"model_version": "v1"}).json()

    assert [item["image"]["id"] for item in page["items"]] == [low, nothing_found]
    assert page["items"][1]["max_score"] is None
    assert page["pool"] == {"images": 3, "scored": 3}


def test_only_the_pool_is_listed(client: TestClient, save_score: SaveScore) -> None:
    save_score(5.0, split="negative-test")
    pool = save_score(1.0)

    assert ids(client) == [pool]


def test_images_judged_to_contain_an_object_are_listed_only_on_request(
    client: TestClient, save_score: SaveScore
) -> None:
    struck = save_score(3.0, verdict="contains-object")
    negative = save_score(2.0, verdict="negative")
    unsure = save_score(1.5, verdict="unsure")
    unseen = save_score(1.0)

    assert ids(client) == [negative, unsure, unseen]
    assert ids(client, verdict="any") == [struck, negative, unsure, unseen]
    assert ids(client, verdict="contains-object") == [struck]
    assert ids(client, verdict="none") == [unseen]


def test_filters_narrow_the_list(client: TestClient, save_score: SaveScore) -> None:
    yard_red = save_score(3.0, source="yard", label=1)
    yard_blue = save_score(2.0, source="yard", label=2)
    road_red = save_score(1.0, source="road", label=1)

    assert ids(client, source="yard") == [yard_red, yard_blue]
    assert ids(client, label="red") == [yard_red, road_red]
    assert ids(client, label="red", source="yard") == [yard_red]
    assert ids(client, min_score=0.8) == [yard_red, yard_blue]
    assert ids(client, max_score=0.9) == [yard_blue, road_red]


@hypothesis_settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(bound=st.sampled_from([0.0, 1e-9, 0.5, 0.999999, 1.0]) | st.floats(0, 1))
def test_score_limits_are_inclusive_and_exact(
    client: TestClient, save_score: SaveScore, bound: float
) -> None:
    if not ids(client, n=1000):
        for log_odds in (-40.0, -1.0, 0.0, 1e-12, 3.0, 13.8, 36.0, 50.0, 700.0):
            save_score(log_odds)
    everything = client.get("/hard-negatives", params={"model_version": "v1", "n": 1000}).json()[
        "items"
    ]

    at_least = ids(client, n=1000, min_score=bound)
    at_most = ids(client, n=1000, max_score=bound)

    scores = {item["image"]["id"]: item["max_score"] for item in everything}
    assert at_least == [id_ for id_, score in scores.items() if score >= bound]
    assert at_most == [id_ for id_, score in scores.items() if score <= bound]


def test_pages_join_without_gap_or_overlap(client: TestClient, save_score: SaveScore) -> None:
    for k in range(11):
        save_score([1.0, 2.0, None][k % 3])
    everything = ids(client, n=1000)

    pages: list[int] = []
    ranks: list[int] = []
    params: dict[str, str | int] = {"model_version": "v1", "n": 3}
    while True:
        page = client.get("/hard-negatives", params=params).json()
        pages += [item["image"]["id"] for item in page["items"]]
        ranks += [item["rank"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert pages == everything
    assert ranks == list(range(1, 12))


@pytest.fixture
def add_trained_version(client: TestClient) -> Callable[..., int]:
    """Return a function that writes a version and its training run, like a worker."""
    sessions = resources_of(client).sessions

    def add(name: str, parent_id: int, image_ids: list[int]) -> int:
        with sessions.begin() as session:
            version = ModelVersion(
                name=name,
                architecture="ssd_small",
                class_names=["red"],
                spec={},
                checkpoint_sha256=name,
                checkpoint_key="none",
                checkpoint_size_bytes=1,
                parent_id=parent_id,
            )
            job = Job(kind="retrain", lane="training", status="done", params={}, max_failures=3)
            session.add_all([version, job])
            session.flush()
            run = TrainingRun(job_id=job.id, iteration=1, model_version_id=version.id, params={})
            run_store.add_run(session, run, {"mined": [(image_id, "") for image_id in image_ids]})
            nothing = Detections(
                torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.int64)
            )
            results = {
                image.id: Prediction(0.5, -float(image.id), nothing)
                for image in session.query(Image)
            }
            store.save_scores(session, version.id, results)
            return version.id

    return add


def test_trained_filter_follows_the_ancestors_of_a_version(
    client: TestClient, save_score: SaveScore, add_trained_version: Callable[..., int]
) -> None:
    images = [save_score(1.0) for _ in range(9)]
    child = add_trained_version("child", 1, images[2:4])
    add_trained_version("grandchild", child, images[5:6])
    add_trained_version("other", 1, images[7:8])

    def listed(version: str, *, trained: bool) -> list[int]:
        return ids(client, model_version=version, trained=trained)

    assert (listed("v1", trained=True), listed("v1", trained=False)) == ([], images)
    assert listed("child", trained=True) == images[2:4]
    assert listed("other", trained=True) == images[7:8]
    assert listed("grandchild", trained=True) == [*images[2:4], images[5]]
    assert listed("grandchild", trained=False) == [*images[:2], images[4], *images[6:]]
    assert ids(client, model_version="grandchild") == images


def test_pages_of_trained_and_untrained_images_join(
    client: TestClient, save_score: SaveScore, add_trained_version: Callable[..., int]
) -> None:
    images = [save_score(1.0) for _ in range(9)]
    add_trained_version("child", 1, images[1::3])

    for trained, expected in ((True, images[1::3]), (False, [*images[::3], *images[2::3]])):
        pages: list[int] = []
        params: dict[str, str | int | None] = {"model_version": "child", "n": 2, "trained": trained}
        while params.get("cursor", "first") is not None:
            page = client.get("/hard-negatives", params=params).json()
            pages += [item["image"]["id"] for item in page["items"]]
            params["cursor"] = page["next_cursor"]
        assert pages == sorted(expected)


def test_cursor_belongs_to_its_version(serving: TestClient, save_score: SaveScore) -> None:
    save_score(1.0)
    save_score(0.5)
    first = serving.get("/hard-negatives", params={"model_version": "v1", "n": 1}).json()

    second = serving.get("/hard-negatives", params={"n": 1, "cursor": first["next_cursor"]}).json()
    other = serving.get(
        "/hard-negatives", params={"model_version": "squares", "cursor": first["next_cursor"]}
    )

    assert (second["model_version"], second["items"][0]["rank"]) == ("v1", 2)
    assert other.status_code == 422


@pytest.mark.parametrize(
    ("params", "status", "slug"),
    [
        ({"model_version": "v9"}, 404, "unknown-model-version"),
        ({"model_version": "99999999999999999999999"}, 404, "unknown-model-version"),
        ({"n": 0}, 422, "invalid-request"),
        ({"n": 1001}, 422, "invalid-request"),
        ({"min_score": 1.5}, 422, "invalid-request"),
        ({"min_score": "nan"}, 422, "invalid-request"),
        ({"cursor": "nonsense"}, 422, "invalid-cursor"),
        ({"cursor": "WzEsICJuYW4iLCAxLCAxXQ=="}, 422, "invalid-cursor"),
        ({"model_version": "v1", "label": "green"}, 422, "unknown-label"),
        ({"source": "\x00"}, 422, "invalid-request"),
        ({}, 409, "no-serving-version"),
    ],
)
def test_invalid_request_is_refused_with_the_reason(
    client: TestClient,
    save_score: SaveScore,
    params: dict[str, str | float],
    status: int,
    slug: str,
) -> None:
    response = client.get("/hard-negatives", params=params)

    assert (response.status_code, response.json()["type"]) == (status, f"/problems/{slug}")


def test_ranking_reads_one_range_of_its_index(client: TestClient, save_score: SaveScore) -> None:
    with resources_of(client).sessions.begin() as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SET LOCAL enable_seqscan = off"))
            session.execute(text("SET LOCAL enable_sort = off"))
        explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}
        plan = session.execute(
            text(
                f"{explain[session.get_bind().dialect.name]} SELECT image_id FROM image_scores "
                "WHERE model_version_id = 1 AND split = 'pool' AND ranking_key IS NOT NULL "
                "AND (ranking_key, image_id) > (1.0, 7) ORDER BY ranking_key, image_id LIMIT 10"
            )
        )
        steps = " ".join(str(row) for row in plan)

    assert "ix_image_scores_ranking" in steps
    assert "TEMP B-TREE" not in steps
    assert "Sort" not in steps


def test_scored_look_alikes_rank_above_noise(serving: TestClient) -> None:
    files = [("files", (f"noise{k}.png", scene_bytes(k))) for k in range(6)]
    files += [("files", (f"orange{k}.png", scene_bytes(50 + k, ORANGE))) for k in range(3)]
    files += [("files", ("red.png", scene_bytes(99, RED)))]
    serving.post("/images", files=files).raise_for_status()

    page = serving.get("/hard-negatives", params={"n": 4}).json()

    names = [item["image"]["file_name"] for item in page["items"]]
    assert names[0] == "red.png"
    assert all(name.startswith("orange") for name in names[1:])
    assert page["pool"] == {"images": 10, "scored": 10}
