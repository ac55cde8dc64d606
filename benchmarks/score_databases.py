"""Databases full of scores, built in SQL, for benchmarks of what is read from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.orm import Session
from sqlalchemy.schema import AddConstraint, DropConstraint

from service.db import Base, open_engine
from service.tables import Activation, Job, ModelVersion, TrainingRun
from tests.databases import migrate, postgres_database, postgres_server, sqlite_url

NUM_SEALED = 1000
NUM_VAL = 200
NUM_JUDGED = 500  # the worst of the pool: people look at those
NUM_RARE = 20  # images of the source and of the class that are rare
NUM_TRAINED = 1000
LOWEST_SCORE = 0.05  # that a detection is kept at: about one image in six has one
CHUNK = 500_000
CLASS_NAMES = ("raccoon", "dog", "cat", "fox")
BACKENDS = ("sqlite", "postgres")

# A number in (0, 1) for each id, as good as random and the same in both databases.
UNIFORM = "((id * 2654435761) % 4294967296 + 0.5) / 4294967296.0"

SQLITE_IDS = """
WITH RECURSIVE numbers (id) AS (
    SELECT {first} UNION ALL SELECT id + 1 FROM numbers WHERE id < {last}
) SELECT id FROM numbers
"""
POSTGRES_IDS = "SELECT id FROM generate_series({first}::bigint, {last}::bigint) AS id"

IMAGES = """
INSERT INTO images (id, sha256, blob_key, split, source, file_name, media_type, size_bytes,
                    width, height, created_at)
SELECT id, {digest}, 'images/' || id,
       CASE WHEN id <= {sealed} THEN 'negative-test' WHEN id <= {labelled} THEN 'val'
            ELSE 'pool' END,
       CASE WHEN id BETWEEN {labelled} + 1 AND {rare} THEN 'rare' ELSE 'site-' || (id % 10) END,
       id || '.jpg', 'image/jpeg', 50000, 640, 480, '2026-01-01 00:00:00.000000'
FROM ({ids}) AS ids
"""

# Log-odds are logistic around -6; what comes from site-9 is easy: none of it ranks high.
SCORES = """
INSERT INTO image_scores (image_id, model_version_id, split, source, ranking_key, max_score,
                          log_odds, scored_at)
SELECT id, 1, split, source, -log_odds, 1 / (1 + exp(-log_odds)), log_odds,
       '2026-01-01 00:00:00.000000'
FROM (SELECT id, split, source,
             CASE WHEN source = 'site-9' THEN -20 ELSE -6 END + 2 * ln(u / (1 - u)) AS log_odds
      FROM (SELECT id, split, source, {uniform} AS u FROM images
            WHERE id BETWEEN {first} AND {last}) AS numbers) AS scores
"""

DETECTIONS = """
INSERT INTO detections (image_id, model_version_id, position, label, ranking_key, score,
                        x1, y1, x2, y2)
SELECT image_id, 1, {position},
       CASE WHEN image_id BETWEEN {labelled} + 1 AND {rare} THEN 4
            ELSE 1 + (image_id + {position}) % 3 END,
       CASE WHEN split = 'pool' AND ({position} = 0 OR image_id > {rare}) THEN ranking_key END,
       max_score / {divisor}, 10, 20, 110, 120
FROM image_scores WHERE max_score / {divisor} >= {lowest} AND image_id BETWEEN {first} AND {last}
"""

BOXES = """
INSERT INTO labelled_boxes (image_id, position, class_name, x1, y1, x2, y2)
SELECT id, 0, 'raccoon', 10, 20, 110, 120 FROM images WHERE split = 'val'
"""

VERDICTS = """
UPDATE images SET verdict = CASE WHEN id % 5 < 2 THEN 'negative' ELSE 'contains-object' END
WHERE id IN (SELECT image_id FROM image_scores
             WHERE model_version_id = 1 AND split = 'pool' AND ranking_key IS NOT NULL
             ORDER BY ranking_key, image_id LIMIT {judged})
"""

# The next worst were trained on.
TRAINED = """
INSERT INTO training_run_images (run_id, image_id, sha256, role)
SELECT {run_id}, image_id, 'none', 'mined' FROM image_scores
WHERE model_version_id = 1 AND split = 'pool' AND ranking_key IS NOT NULL
ORDER BY ranking_key, image_id LIMIT {trained} OFFSET {judged}
"""


@contextmanager
def score_database(backend: str, num_scores: int, num_sealed: int = NUM_SEALED) -> Iterator[Engine]:
    """
    Make a database with so many scores of the serving version, and drop it afterwards.

    Of these, `num_sealed` are of negative-test, NUM_VAL of val, and the others of the pool.
    """
    with _empty_database(backend) as url:
        migrate(url)
        engine = open_engine(url.render_as_string(hide_password=False))
        try:
            _fill(engine, num_scores, num_sealed)
            yield engine
        finally:
            engine.dispose()


@contextmanager
def _empty_database(backend: str) -> Iterator[URL]:
    if backend == "sqlite":
        with TemporaryDirectory(prefix="hardneg-bench-") as folder:
            yield sqlite_url(Path(folder) / "bench.sqlite")
    else:
        with postgres_server() as server, postgres_database(server) as url:
            yield url


def _fill(engine: Engine, num_scores: int, num_sealed: int) -> None:
    """Indexes and foreign keys at the end: row by row they take several times longer."""
    tables = [Base.metadata.tables[name] for name in ("images", "image_scores", "detections")]
    indexes = [index for table in tables for index in table.indexes]
    keys = [key for table in tables for key in table.foreign_key_constraints]
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA cache_size = -1000000")
        for index in indexes:
            index.drop(connection)
        if engine.dialect.name == "postgresql":  # SQLite cannot add them again
            connection.exec_driver_sql("SET maintenance_work_mem = '1GB'")
            for key in keys:
                connection.execute(DropConstraint(key))
        run_id = _add_version(connection)
        connection.commit()
        for first in range(1, num_scores + 1, CHUNK):
            _add_images(connection, first, min(first + CHUNK - 1, num_scores), num_sealed)
            connection.commit()
        for index in indexes:
            index.create(connection)
        if engine.dialect.name == "postgresql":
            for key in keys:
                connection.execute(AddConstraint(key))
        connection.commit()
        _run(connection, BOXES)
        _run(connection, VERDICTS, judged=NUM_JUDGED)
        _run(connection, TRAINED, judged=NUM_JUDGED, trained=NUM_TRAINED, run_id=run_id)
        connection.commit()
    if engine.dialect.name == "postgresql":  # what autovacuum does in time
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def _add_version(connection: Connection) -> int:
    """Add a serving version and the training run that made it; return the run's id."""
    with Session(connection) as session:
        version = ModelVersion(
            name="v1",
            architecture="ssd_small",
            class_names=list(CLASS_NAMES),
            spec={"score_threshold": LOWEST_SCORE},
            checkpoint_sha256="0" * 64,
            checkpoint_key="none",
            checkpoint_size_bytes=1,
        )
        other = ModelVersion(
            name="v2",
            architecture="ssd_small",
            class_names=list(CLASS_NAMES),
            spec={"score_threshold": LOWEST_SCORE},
            checkpoint_sha256="1" * 64,
            checkpoint_key="none",
            checkpoint_size_bytes=1,
        )
        job = Job(kind="retrain", lane="training", status="done", params={}, max_failures=1)
        session.add_all([version, job])
        session.flush()
        session.add(other)
        session.flush()
        run = TrainingRun(job_id=job.id, iteration=1, model_version_id=version.id, params={})
        session.add_all([Activation(model_version_id=version.id), run])
        session.flush()
        run_id = run.id
        session.commit()
    return run_id


def _add_images(connection: Connection, first: int, last: int, num_sealed: int) -> None:
    num_labelled = num_sealed + NUM_VAL  # and sealed, before the pool begins
    on_sqlite = connection.dialect.name == "sqlite"
    _run(
        connection,
        IMAGES,
        ids=(SQLITE_IDS if on_sqlite else POSTGRES_IDS).format(first=first, last=last),
        digest="printf('%064d', id)" if on_sqlite else "lpad(id::text, 64, '0')",
        sealed=num_sealed,
        labelled=num_labelled,
        rare=num_labelled + NUM_RARE,
    )
    _run(connection, SCORES, uniform=UNIFORM, first=first, last=last)
    for position, divisor in enumerate((1, 2)):
        _run(
            connection,
            DETECTIONS,
            position=position,
            divisor=divisor,
            lowest=LOWEST_SCORE,
            labelled=num_labelled,
            rare=num_labelled + NUM_RARE,
            first=first,
            last=last,
        )


def _run(connection: Connection, statement: str, **values: object) -> None:
    connection.execute(text(statement.format(**values)))
