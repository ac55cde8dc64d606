from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.job_kinds import Jobs


@pytest.fixture
def jobs(database_url: str, tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(database_url, tmp_path)
    yield jobs
    jobs.engine.dispose()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data", database_url=database_url, device="cpu", embedded_worker=False
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """The service with no model version yet."""
    with TestClient(create_app(settings)) as client:
        yield client
