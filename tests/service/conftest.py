from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.job_kinds import Jobs


@pytest.fixture
def jobs(database_url: str, tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(database_url, tmp_path)
    yield jobs
    jobs.engine.dispose()
