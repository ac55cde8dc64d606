"""Fixtures that several tests of the package share."""

from collections.abc import Iterator

import pytest

from hardneg.demo.server_process import free_port, running_server


@pytest.fixture(scope="session")
def bare_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server without images or versions, which no test may add."""
    folder = tmp_path_factory.mktemp("bare-server")
    port = free_port()
    settings = {"DEVICE": "cpu", "EMBEDDED_WORKER": "false"}
    with running_server(folder / "data", port, folder / "server.log", settings):
        yield f"http://127.0.0.1:{port}"
