"""Scores, detections and screen margins as both databases store them."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from sqlalchemy import Engine, delete, insert, select, text

from models.detectors.detections import Detections
from models.inference.predict import Prediction
from service.db import Sessions, commit_unflushed, open_sessions
from service.scoring import margins, store
from service.scoring.results import ScoreResult, ScoringFailure
from service.tables import Detection, Image, ImageScore, ModelVersion
from tests.service.job_kinds import wait_until

SOURCES = ("", "yard, 'north' {\"1\"}", "\\N", "NULL", "höf")


@pytest.fixture
def sessions(engine: Engine) -> Sessions:
    """Add one version, and an image from each source."""
    sessions = open_sessions(engine)
    with sessions.begin() as session:
        session.add(
            ModelVersion(
                name="v1",
                architecture="ssd_small",
                class_names=["red", "blue"],
                spec={},
                checkpoint_sha256="v1",
                checkpoint_key="none",
                checkpoint_size_bytes=1,
            )
        )
    add_images(sessions, SOURCES)
    return sessions


def add_images(sessions: Sessions, sources: Sequence[str]) -> None:
    with sessions.begin() as session:
        session.execute(
            insert(Image),
            [
                {
                    "sha256": f"{source}-{number}",
                    "blob_key": "none",
                    "split": "pool",
                    "source": source,
                    "file_name": "a.png",
                    "media_type": "image/png",
                    "size_bytes": 1,
                    "width": 4,
                    "height": 4,
                }
                for number, source in enumerate(sources)
            ],
        )


def found(*scores: float) -> Detections:
    boxes = torch.tensor([[0.1, 0.2, 3.3, 4.0]]).expand(len(scores), 4)
    return Detections(boxes, torch.tensor(scores), torch.ones(len(scores), dtype=torch.int64))


def test_values_come_back_exactly(sessions: Sessions) -> None:
    results: list[ScoreResult] = [
        Prediction(0.1 + 0.2, -0.0, found()),
        Prediction(5e-324, math.log(1e-300), found(0.3, 0.1)),
        Prediction(1.0, 1 / 3 * 1e17, found(1.0)),
        Prediction(None, None, found()),
        ScoringFailure("its 'bytes' are {gone}"),
    ]
    predictions = [result if isinstance(result, Prediction) else None for result in results]

    with sessions.begin() as session:
        store.save_scores(session, 1, dict(enumerate(results, 1)))

    with sessions.begin() as session:
        rows = session.scalars(select(ImageScore).order_by(ImageScore.image_id)).all()
        boxes = session.scalars(select(Detection).order_by(Detection.image_id)).all()
    assert [row.source for row in rows] == list(SOURCES)
    assert [row.max_score for row in rows] == [p and p.max_score for p in predictions]
    assert [row.log_odds for row in rows] == [p and p.log_odds for p in predictions]
    assert [row.failure for row in rows] == [None] * 4 + ["its 'bytes' are {gone}"]
    assert rows[3].ranking_key == math.inf
    assert rows[4].ranking_key is None
    assert [(box.image_id, box.score, box.x1) for box in boxes] == [
        (number, score, prediction.detections.boxes[0, 0].item())
        for number, prediction in enumerate(predictions, 1)
        if prediction
        for score in prediction.detections.scores.tolist()
    ]


def test_many_images_are_saved_at_once(sessions: Sessions) -> None:
    add_images(sessions, ["crowd"] * 5000)
    with sessions.begin() as session:
        session.execute(delete(Image).where(Image.id == 77))
    results = {image_id: Prediction(0.5, image_id / 7, found(0.5)) for image_id in range(1, 5001)}

    for _ in range(2):  # the second time overwrites
        with sessions.begin() as session:
            store.save_scores(session, 1, results)

    with sessions.begin() as session:
        rows = session.execute(select(ImageScore.image_id, ImageScore.log_odds)).all()
        boxes = session.scalars(select(Detection.image_id)).all()
    saved = {row.image_id: row.log_odds for row in rows}
    assert saved == {n: n / 7 for n in range(1, 5001) if n != 77}
    assert sorted(boxes) == sorted(saved)


def test_saving_scores_waits_for_the_disk_by_default(sessions: Sessions, engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite waits for the disk at every commit")

    with sessions.begin() as session:
        store.save_scores(session, 1, {1: ScoringFailure("damaged")})
        waits = session.scalar(text("SHOW synchronous_commit"))

    assert waits == "on"


def test_unflushed_commit_holds_for_one_transaction_only(
    sessions: Sessions, engine: Engine
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite waits for the disk at every commit")
    seen = []

    for is_unflushed in (True, False):
        with sessions.begin() as session:
            if is_unflushed:
                commit_unflushed(session)
            seen.append(session.scalar(text("SHOW synchronous_commit")))

    assert seen == ["off", "on"]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_two_processes_that_save_one_image_leave_the_whole_result_of_one(
    sessions: Sessions, engine: Engine
) -> None:
    first = Prediction(0.9, 2.0, found(0.9, 0.8))
    second = Prediction(0.4, -0.4, found(0.4))

    def save_second() -> None:
        with sessions.begin() as session:
            store.save_scores(session, 1, {1: second})

    with ThreadPoolExecutor(1) as pool:
        with sessions.begin() as session:
            store.save_scores(session, 1, {1: first})
            saving = pool.submit(save_second)
            wait_until(lambda: _num_blocked(engine) > 0, timeout_s=20)
        saving.result()

    with sessions.begin() as session:
        score = session.scalars(select(ImageScore)).one()
        rows = session.scalars(select(Detection)).all()
        assert score.max_score == 0.4
        assert [row.score for row in rows] == pytest.approx([0.4])
        assert [row.ranking_key for row in rows] == [score.ranking_key]


def _num_blocked(engine: Engine) -> int:
    query = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with engine.connect() as connection:
        return int(connection.scalar(text(query)) or 0)


def test_transient_failures_are_not_saved(sessions: Sessions) -> None:
    results = {1: ScoringFailure("try again", is_transient=True), 2: ScoringFailure("damaged")}

    with sessions.begin() as session:
        store.save_scores(session, 1, results)

    with sessions.begin() as session:
        assert store.find_scores(session, 1, [1, 2]).keys() == {2}


def test_unscored_images_are_found_in_ranges_of_ids(sessions: Sessions) -> None:
    with sessions.begin() as session:
        store.save_scores(session, 1, {3: ScoringFailure("damaged")})

    with sessions.begin() as session:
        found = [
            [
                image.id
                for image in store.unscored_images(
                    session, 1, after_id=after_id, until_id=after_id + 2, limit=10
                )
            ]
            for after_id in (0, 2, 4)
        ]

    assert found == [[1, 2], [4], [5]]


def test_saved_margin_never_shrinks(sessions: Sessions) -> None:
    measured = [("cpu", 70, 0.25), ("cpu", 64, 0.5), ("cpu", 90, 0.125), ("gpu", 64, 0.1)]
    for computed_by, num_images, largest_error in measured:
        with sessions.begin() as session:
            margins.save_screen_margin(session, 1, computed_by, num_images, largest_error)

    with sessions.begin() as session:
        rows = margins.list_screen_margins(session, 1)
        cpu = margins.find_screen_margin(session, 1, "cpu")
        unknown = margins.find_screen_margin(session, 1, "another")

    assert [(row.computed_by, row.num_images, row.largest_error) for row in rows] == [
        ("gpu", 64, 0.1),
        ("cpu", 90, 0.5),
    ]
    assert cpu is rows[1]
    assert unknown is None
