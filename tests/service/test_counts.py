"""The counts that triggers keep equal a recount of the rows."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeGuard

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models.detectors.detections import Detections
from models.inference.predict import Prediction
from service.db import Sessions, open_sessions
from service.scoring import store
from service.scoring.results import ScoringFailure
from service.tables import Image, ImageScore, ModelVersion

SPLITS = ("pool", "negative-test", "train", "val")
NOTHING = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))

numbers = count()


@pytest.fixture
def sessions(engine: Engine) -> Sessions:
    sessions = open_sessions(engine)
    with sessions.begin() as session:
        session.execute(insert(ModelVersion), [_version_row(name) for name in ("v1", "v2")])
    return sessions


def _version_row(name: str) -> dict[str, object]:
    return {
        "name": name,
        "architecture": "ssd_small",
        "class_names": ["red"],
        "spec": {},
        "checkpoint_sha256": name,
        "checkpoint_key": "none",
        "checkpoint_size_bytes": 1,
    }


def _image_row(split: str) -> dict[str, object]:
    return {
        "sha256": f"{next(numbers)}",
        "blob_key": "none",
        "split": split,
        "source": "",
        "file_name": "a.png",
        "media_type": "image/png",
        "size_bytes": 1,
        "width": 4,
        "height": 4,
    }


def add(session: Session, splits: Sequence[str]) -> None:
    if splits:
        session.execute(insert(Image), [_image_row(split) for split in splits])


def add_again(session: Session, digest: str) -> None:
    """Insert an image again, like a second request with the same bytes at the same time."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    row = {**_image_row("pool"), "sha256": digest}
    session.execute(dialect.insert(Image).values(row).on_conflict_do_nothing())


def score(session: Session, version_id: int, image_ids: Sequence[int]) -> None:
    """Save scores, and failures for ids that 3 divides."""
    store.save_scores(
        session,
        version_id,
        {
            id_: ScoringFailure("damaged") if id_ % 3 == 0 else Prediction(0.5, 0.0, NOTHING)
            for id_ in image_ids
        },
    )


def assert_counts_equal_a_recount(session: Session) -> None:
    images = Counter(session.scalars(select(Image.split)))
    scores = Counter(
        (version_id, split)
        for version_id, split in session.execute(
            select(ImageScore.model_version_id, ImageScore.split)
        )
    )
    for split in SPLITS:
        assert store.count_images(session, split) == images[split]
        for version_id in (1, 2):
            assert store.count_scored(session, version_id, split) == scores[version_id, split]


indices = st.lists(st.integers(0, 30), max_size=6, unique=True)
steps = st.one_of(
    st.tuples(st.just("add"), st.lists(st.sampled_from(SPLITS), max_size=6)),
    st.tuples(st.just("add again"), st.integers(0, 30)),
    st.tuples(st.sampled_from(["score with 1", "score with 2"]), indices),
    st.tuples(st.just("judge"), indices),
    st.tuples(st.just("delete"), indices),
    st.tuples(st.just("forget scores"), st.sampled_from([1, 2])),
    st.tuples(st.just("undo"), indices),
)


@hypothesis_settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=st.lists(steps, max_size=12))
def test_counts_equal_a_recount_after_any_history(
    sessions: Sessions, history: list[tuple[str, object]]
) -> None:
    for action, argument in history:
        with sessions.begin() as session:
            _take(session, action, argument)
        with sessions.begin() as session:
            assert_counts_equal_a_recount(session)


def _take(session: Session, action: str, argument: object) -> None:
    images = session.scalars(select(Image).order_by(Image.id.desc()).limit(31)).all()
    chosen = [images[n].id for n in argument if n < len(images)] if _is_list(argument) else []
    match action:
        case "add":
            assert isinstance(argument, list)
            add(session, argument)
        case "add again":
            assert isinstance(argument, int)
            if argument < len(images):
                add_again(session, images[argument].sha256)
        case "score with 1" | "score with 2":
            score(session, int(action[-1]), [*chosen, 2**40])
        case "judge":
            session.execute(
                update(Image).where(Image.id.in_(chosen)).values(verdict="contains-object")
            )
        case "delete":
            session.execute(delete(Image).where(Image.id.in_(chosen)))
        case "forget scores":
            session.execute(delete(ImageScore).where(ImageScore.model_version_id == argument))
        case "undo":
            with session.begin_nested() as savepoint:
                add(session, ["pool", "val"])
                score(session, 1, chosen)
                session.execute(delete(Image).where(Image.id.in_(chosen)))
                savepoint.rollback()


def _is_list(argument: object) -> TypeGuard[list[int]]:
    return isinstance(argument, list) and all(isinstance(n, int) for n in argument)


def test_counts_hold_when_many_write_at_once(sessions: Sessions) -> None:
    def write(number: int) -> None:
        for turn in range(10):
            with sessions.begin() as session:
                add(session, ["pool", "negative-test"] if number % 2 else ["negative-test", "pool"])
            with sessions.begin() as session:
                ids = session.scalars(select(Image.id).order_by(func.random()).limit(5)).all()
                score(session, 1 + turn % 2, ids)
            with sessions.begin() as session:
                oldest = select(func.min(Image.id)).scalar_subquery()
                session.execute(delete(Image).where(Image.id == oldest))

    with ThreadPoolExecutor(6) as pool:
        for written in [pool.submit(write, number) for number in range(6)]:
            written.result()

    with sessions.begin() as session:
        assert store.count_images(session, "pool", "negative-test") > 0
        assert_counts_equal_a_recount(session)


def test_writer_does_not_wait_for_the_commit_of_another(sessions: Sessions, engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")

    with sessions.begin() as first:
        add(first, ["pool"])
        with sessions.begin() as second:
            second.connection().exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            add(second, ["pool"])

    with sessions.begin() as session:
        assert_counts_equal_a_recount(session)
