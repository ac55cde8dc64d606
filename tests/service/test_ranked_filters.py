"""Combinations of filters, against the whole list filtered in Python."""

from collections.abc import Iterator
from itertools import count

import pytest
import torch
from alembic import command
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from hardneg.schemas.hard_negatives import VerdictFilter
from models.detectors.detections import Detections
from models.inference.predict import Prediction
from service.db import Sessions, open_engine, open_sessions
from service.hard_negatives import store
from service.hard_negatives.cursor import Cursor
from service.migrate import alembic_config
from service.scoring import store as score_store
from service.scoring.results import ScoreResult, ScoringFailure
from service.tables import (
    Detection,
    HoldDecision,
    Image,
    ImageScore,
    Job,
    ModelVersion,
    TrainingRun,
    TrainingRunImage,
)

SCORES = (0.02, 0.3, 0.5, 0.9)
NUM_IMAGES = 60


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    """Yield images of all kinds with scores by two versions, two runs, and two hold tests."""
    engine = open_engine(database_url)
    sessions = open_sessions(engine)
    with sessions.begin() as session:
        _add_versions(session)
        for number in range(NUM_IMAGES):
            session.add(_image(number))
        session.flush()
        for version_id in (2, 1, 1):  # the second time overwrites the first
            images = session.scalars(select(Image).order_by(Image.id)).all()
            turn = next(turns)
            results = {image.id: _result(image.id, version_id + turn) for image in images}
            score_store.save_scores(session, version_id, results)
        session.add_all(
            TrainingRunImage(run_id=run_id, image_id=image_id, sha256="", role="mined")
            for run_id, image_id in [(1, 3), (1, 9), (2, 9), (1, 20), (2, 21), (2, 33)]
        )
        session.add_all(
            HoldDecision(
                image_id=image_id,
                model_version_id=version_id,
                split="pool",
                decision=float(image_id * version_id % 5 - 2),
                position=0,
            )
            for version_id in (1, 2)
            for image_id in range(1 + version_id, NUM_IMAGES, 2)
        )
    yield sessions
    engine.dispose()


turns = count()


def _add_versions(session: Session) -> None:
    for name in ("v1", "v2"):
        session.add(
            ModelVersion(
                name=name,
                architecture="ssd_small",
                class_names=["red", "blue", "green"],
                spec={},
                checkpoint_sha256=name,
                checkpoint_key="none",
                checkpoint_size_bytes=1,
            )
        )
    job = Job(kind="retrain", lane="training", status="done", params={}, max_failures=1)
    session.add(job)
    session.flush()
    session.add_all(TrainingRun(job_id=job.id, iteration=k, params={}) for k in (1, 2))


def _image(number: int) -> Image:
    return Image(
        sha256=str(number),
        blob_key="none",
        split="negative-test" if number % 11 == 0 else "pool",
        source=("yard", "road", "")[number % 3],
        file_name="a.png",
        media_type="image/png",
        size_bytes=1,
        width=4,
        height=4,
        verdict=(None, None, "negative", "contains-object", None, "unsure")[number * 7 % 6],
    )


def _result(image_id: int, turn: int) -> ScoreResult:
    number = image_id * 7 + turn
    if number % 13 == 0:
        return ScoringFailure("damaged")
    log_odds = None if number % 17 == 0 else float(number * 31 % 9 - 6)
    score = None if log_odds is None else 1 / (1 + 2.718281828459045**-log_odds)
    labels = [] if score is None else [(1,), (2, 2, 1), (3,), (), (1, 1)][number % 5]
    found = Detections(
        torch.tensor([[1.0, 2.0, 3.0, 4.0]] * len(labels)).reshape(-1, 4),
        torch.full((len(labels),), score or 0.0),
        torch.tensor(labels, dtype=torch.int64),
    )
    return Prediction(score, log_odds, found)


def expected(session: Session, filters: store.Filters) -> list[int]:
    scores = session.scalars(select(ImageScore).where(ImageScore.model_version_id == 1)).all()
    images = {image.id: image for image in session.scalars(select(Image))}
    detections = score_store.detections_of(session, 1, list(images))
    trained = set(
        session.scalars(
            select(TrainingRunImage.image_id).where(TrainingRunImage.run_id.in_(filters.run_ids))
        )
    )
    decisions = {
        row.image_id: row.decision
        for row in session.scalars(select(HoldDecision).where(HoldDecision.model_version_id == 1))
    }
    chosen = []
    for score in scores:
        image = images[score.image_id]
        labels = {detection.label for detection in detections[image.id]}
        if image.split != "pool" or score.ranking_key is None:
            continue
        low, high = filters.min_score, filters.max_score
        if low is not None and (score.max_score is None or score.max_score < low):
            continue
        if high is not None and (score.max_score is None or score.max_score > high):
            continue
        if filters.label is not None and filters.label not in labels:
            continue
        if filters.source is not None and image.source != filters.source:
            continue
        if filters.trained is not None and (image.id in trained) != filters.trained:
            continue
        if not _verdict_passes(image.verdict, filters.verdict):
            continue
        decision = decisions.get(image.id, 0)
        held = decision > 0 and image.verdict in (None, "unsure")
        if filters.held is not None and held != filters.held:
            continue
        chosen.append((-decision if filters.held else score.ranking_key, image.id))
    return [image_id for _, image_id in sorted(chosen)]


def _verdict_passes(verdict: str | None, wanted: VerdictFilter | None) -> bool:
    if wanted is None:
        return verdict != "contains-object"
    return wanted == VerdictFilter.ANY or (verdict or "none") == wanted


def pages(session: Session, filters: store.Filters, size: int) -> list[int]:
    found: list[int] = []
    after = None
    while rows := store.hardest_images(session, 1, filters, after, size):
        found += [row.id for row in rows]
        after = Cursor(1, rows[-1].ranking_key, rows[-1].id, len(found))
    return found


filters = st.builds(
    store.Filters,
    min_score=st.none() | st.sampled_from(SCORES),
    max_score=st.none() | st.sampled_from(SCORES),
    label=st.none() | st.integers(1, 3),
    source=st.none() | st.sampled_from(["yard", "road", "", "nowhere"]),
    verdict=st.none() | st.sampled_from(VerdictFilter),
    trained=st.none() | st.booleans(),
    run_ids=st.lists(st.integers(1, 2), unique=True),
    held=st.none() | st.booleans(),
)


@hypothesis_settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(filters=filters, size=st.integers(1, 70))
def test_pages_hold_the_images_that_pass_every_filter(
    sessions: Sessions, filters: store.Filters, size: int
) -> None:
    with sessions.begin() as session:
        assert pages(session, filters, size) == expected(session, filters)


def test_migration_fills_its_columns_like_the_writer(sessions: Sessions) -> None:
    written = _written(sessions)

    with sessions.begin() as session:
        config = alembic_config(session.connection())
        command.downgrade(config, "a7d20c4f91e6")
        command.upgrade(config, "head")

    assert _written(sessions) == written
    assert any(key is not None for _, key in written[1])


def _written(sessions: Sessions) -> tuple[list[object], list[tuple[object, float | None]]]:
    with sessions.begin() as session:
        sources = session.scalars(
            select(ImageScore.source).order_by(ImageScore.image_id, ImageScore.model_version_id)
        )
        detections = session.scalars(
            select(Detection).order_by(
                Detection.image_id, Detection.model_version_id, Detection.position
            )
        )
        return list(sources), [(found.label, found.ranking_key) for found in detections]
