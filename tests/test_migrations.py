import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, create_engine, inspect

from service.db import Base, open_engine
from service.migrate import alembic_config, upgrade

VERSIONS = sorted((Path(__file__).parents[1] / "migrations" / "versions").glob("*.py"))


@pytest.fixture
def empty_engine(empty_database_url: str) -> Iterator[Engine]:
    engine = open_engine(empty_database_url)
    yield engine
    engine.dispose()


def test_migrations_match_the_tables(empty_engine: Engine) -> None:
    upgrade(empty_engine)

    with empty_engine.begin() as connection:
        command.check(alembic_config(connection))


def test_migrations_can_be_undone_and_run_again(empty_engine: Engine) -> None:
    upgrade(empty_engine)

    with empty_engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    tables_left = inspect(empty_engine).get_table_names()
    upgrade(empty_engine)

    assert tables_left == ["alembic_version"]
    assert set(Base.metadata.tables) < set(inspect(empty_engine).get_table_names())


def test_processes_that_start_together_migrate_once(empty_database_url: str) -> None:
    def start() -> None:
        engine = open_engine(empty_database_url)
        upgrade(engine)
        engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        starts = [pool.submit(start) for _ in range(4)]

    assert [start.exception() for start in starts] == [None] * 4


def test_fixture_gives_a_migrated_database(database_url: str) -> None:
    engine = create_engine(database_url)

    tables = set(inspect(engine).get_table_names())

    engine.dispose()
    assert tables == {*Base.metadata.tables, "alembic_version"}


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.stem)
def test_migration_imports_none_of_our_code(version: Path) -> None:
    """Our code changes after the migration has landed; the migration must not change with it."""
    text = version.read_text(encoding="utf-8")

    assert re.findall(r"^\s*(?:from|import) (?:service|models)\b", text, re.MULTILINE) == []
