"""A stop is never held up by what a client sent."""

import os
import signal
import time
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tests.databases import on_sqlite_only
from tests.faults.hostile_images import png_of_many_chunks
from tests.service.servers import free_port, running_server


@pytest.mark.slow
@on_sqlite_only
def test_a_hostile_image_does_not_delay_the_stop(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    with running_server(database_url, tmp_path, port, shutdown_timeout_s=3) as (server, _):
        uploads = [Thread(target=_upload, args=(port,)) for _ in range(6)]
        for upload in uploads:
            upload.start()
        time.sleep(2)
        started = time.monotonic()

        assert server.pid is not None
        os.kill(server.pid, signal.SIGTERM)
        server.join(10)

        assert not server.is_alive()
        assert time.monotonic() - started < 4
        for upload in uploads:
            upload.join()


def _upload(port: int) -> None:
    content = png_of_many_chunks(2_000_000)
    try:
        httpx.post(f"http://127.0.0.1:{port}/images", files={"files": content}, timeout=60)
    except httpx.TransportError:
        return  # the server stopped
