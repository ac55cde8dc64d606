"""The real server as a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


@contextmanager
def running_server(
    database_url: str, data_dir: Path, port: int
) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """`hardneg serve` on loopback, and a client of it; it is killed at the end."""
    environment = os.environ | {
        "HARDNEG_DATABASE_URL": database_url,
        "HARDNEG_DATA_DIR": str(data_dir),
        "HARDNEG_PORT": str(port),
        "HARDNEG_EMBEDDED_WORKER": "false",
        "HARDNEG_DEVICE": "cpu",
        "HARDNEG_LOG_LEVEL": "warning",
    }
    server = subprocess.Popen([sys.executable, "-m", "service", "serve"], env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            _wait_until_it_answers(server, client)
            yield server, client
    finally:
        server.kill()
        server.wait()


def _wait_until_it_answers(server: subprocess.Popen[bytes], client: httpx.Client) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            client.get("/healthz").raise_for_status()
        except httpx.TransportError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
