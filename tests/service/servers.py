"""The real server, in a separate process."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
from pydantic import SecretStr

from service.server import run_server
from service.settings import Settings
from tests.service.processes import start_process


@contextmanager
def running_server(
    database_url: str,
    data_dir: Path,
    port: int,
    *,
    shutdown_timeout_s: int = 5,
    api_key: str | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[tuple[ForkServerProcess, httpx.Client]]:
    """
    Run the server on loopback without a worker, yield it with a client, and kill it.

    `more` are settings besides those named.
    """
    headers = {} if api_key is None else {"X-API-Key": api_key}
    settings = Settings(
        **more,
        database_url=database_url,
        data_dir=data_dir,
        port=port,
        embedded_worker=False,
        device="cpu",
        log_level="warning",
        shutdown_timeout_s=shutdown_timeout_s,
        api_key=None if api_key is None else SecretStr(api_key),
    )
    server = start_process(run_server, settings)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=30, headers=headers
        ) as client:
            _wait_until_ready(server, client)
            yield server, client
    finally:
        # After the server has ended, its id may belong to another process's thread.
        if server.is_alive():
            server.kill()
        server.join()


def _wait_until_ready(server: ForkServerProcess, client: httpx.Client) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            client.get("/healthz").raise_for_status()
        except httpx.TransportError:
            assert server.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
