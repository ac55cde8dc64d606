"""`hardneg serve` as a process of its own, with a detector that serves."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

START_S = 120.0
STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class Process:
    """A server's port and process."""

    port: int
    popen: "subprocess.Popen[bytes]"

    @property
    def id(self) -> int:
        return self.popen.pid


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def hardneg_server(
    checkpoint: Path | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    data_dir: Path | None = None,
) -> Iterator[tuple[Process, httpx.Client]]:
    """
    Yield a service over an empty SQLite database, or that of `data_dir`, and a client of it.

    With a checkpoint, it serves when this yields. `settings` are environment variables.
    """
    with TemporaryDirectory(prefix="hardneg-bench-") as folder:
        port = free_port()
        environment = os.environ | {
            "HARDNEG_DATA_DIR": str(data_dir or folder),
            "HARDNEG_PORT": str(port),
            "HARDNEG_EMBEDDED_WORKER": "false",
            "HARDNEG_DEVICE": "cpu",
            "HARDNEG_LOG_LEVEL": "warning",
            **(settings or {}),
        }
        command = [sys.executable, "-m", "hardneg", "serve"]
        server = subprocess.Popen(command, env=environment)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as client:
                wait_until(lambda: client.get("/healthz").is_success, server)
                if checkpoint is not None:
                    activate(client, checkpoint, "first")
                yield Process(port, server), client
        finally:
            server.terminate()
            server.wait(STOP_S)


def activate(client: httpx.Client, checkpoint: Path, name: str) -> None:
    """Add a version of that name and make it serve."""
    with checkpoint.open("rb") as file:
        answer = client.post("/model-versions", files={"checkpoint": file}, data={"name": name})
    answer.raise_for_status()
    client.post(f"/model-versions/{name}/activate").raise_for_status()


def wait_until_scored(client: httpx.Client) -> None:
    """Until the serving version has dealt with all of the pool."""
    while True:
        pool = client.get("/hard-negatives", params={"n": 1}).json()["pool"]
        if pool["scored"] == pool["images"]:
            return
        time.sleep(0.05)


def wait_until(answers: Callable[[], bool], server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers.

    Raises RuntimeError if the process ends first, or if it takes too long.
    """
    deadline = time.monotonic() + START_S
    while True:
        try:
            if answers():
                return
        except httpx.TransportError:
            pass
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start, exit status {server.poll()}")
        time.sleep(0.02)
