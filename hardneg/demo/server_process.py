"""`hardneg serve` as a child process on loopback."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hardneg.client import Client, ClientError, Unreachable, server_url

HOST = "127.0.0.1"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0  # the server gives its requests, and then its worker, time to end
POLL_S = 0.1
PREFIX = "HARDNEG_"
SHOWN_LOG_LINES = 10


def is_free(port: int) -> bool:
    """Return whether nothing listens on this port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port of loopback on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_server(
    data_dir: Path, port: int, log_path: Path, settings: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """
    Run a server with its data in `data_dir`; it answers when the context begins.

    The server sees none of this process's HARDNEG_ variables, only `settings`, whose names come
    without the prefix.

    Raises:
        ClientError: The server did not start; the message has the end of its log.
    """
    given = {"HOST": HOST, "PORT": str(port), "DATA_DIR": str(data_dir.absolute())}
    environment = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    for name, text in {**given, **(settings or {})}.items():
        environment[PREFIX + name] = text
    command = [sys.executable, "-m", "hardneg", "serve"]
    with log_path.open("ab") as log:
        server = subprocess.Popen(
            command,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,  # this process handles Ctrl-C
        )
    try:
        _wait_until_alive(server_url(HOST, port), server, log_path)
        yield server
    finally:
        _stop(server)


def _wait_until_alive(url: str, server: "subprocess.Popen[bytes]", log_path: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with Client(url) as client:
        while server.poll() is None and time.monotonic() < deadline:
            try:
                client.check_alive()
            except Unreachable:
                time.sleep(POLL_S)
            else:
                return
    lines = log_path.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:]
    raise ClientError("the server did not start; its log ends:\n" + "\n".join(lines))


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
