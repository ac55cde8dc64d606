from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.app import create_app
from service.db import open_engine
from service.logs import set_up_logs
from service.settings import Settings
from tests.elsewhere import LABELLED_SEEDS, SquareNetwork, labelled_examples, train
from tests.scenes import train_red_square_detector
from tests.service.clients import local_client
from tests.service.job_kinds import Jobs


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    set_up_logs("warning", "json")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a detector for seconds, enough for its scores to differ between images."""
    path = tmp_path_factory.mktemp("checkpoint") / "red-squares.safetensors"
    train_red_square_detector(path)
    return path


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "other.safetensors"
    train_red_square_detector(path, seed=1, steps=10)
    return path


@pytest.fixture(scope="session")
def square_network() -> SquareNetwork:
    """Train a network of red squares for seconds, as others would; orange ones fool it."""
    return train(labelled_examples(LABELLED_SEEDS))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


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
    """Start the service without a model version."""
    with local_client(create_app(settings)) as client:
        yield client


@pytest.fixture
def serving(client: TestClient, add_version: "AddVersion", checkpoint: Path) -> TestClient:
    """Start the service with a serving version."""
    add_version(checkpoint, "squares")
    client.post("/model-versions/squares/activate").raise_for_status()
    return client


AddVersion = Callable[[Path, str], int]


@pytest.fixture
def add_version(client: TestClient) -> AddVersion:
    def add(path: Path, name: str) -> int:
        with path.open("rb") as file:
            response = client.post(
                "/model-versions", files={"checkpoint": file}, data={"name": name}
            )
        response.raise_for_status()
        return int(response.json()["id"])

    return add
