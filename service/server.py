"""Runs the service until it is told to stop."""

import socket
from threading import Event
from types import FrameType

import uvicorn
from anyio.to_thread import run_sync

from service.app import create_app
from service.logs import set_up_logs
from service.settings import Settings
from service.worker.embedded import EmbeddedWorker, start_embedded_worker

STARTUP_FAILED = 3  # as `uvicorn.run` ends


class Server(uvicorn.Server):
    """
    Ends streams of events and the embedded worker when it is told to stop.

    Both before uvicorn raises the signal again, which ends the process on the spot.
    """

    def __init__(
        self, config: uvicorn.Config, stopping: Event, worker: EmbeddedWorker | None
    ) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._worker = worker

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stopping.set()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self._worker is not None:
            await run_sync(self._worker.close)


def run_server(settings: Settings) -> None:
    """Serve on the address of the settings; SIGTERM and SIGINT stop it gracefully."""
    set_up_logs(settings.log_level, settings.log_format)
    stopping = Event()
    app = create_app(settings, stopping)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        # An open stream of events would hold the process for as long as its client likes.
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
    )
    worker = start_embedded_worker(settings) if settings.embedded_worker else None
    server = Server(config, stopping, worker)
    try:
        server.run()
    finally:
        if worker is not None:
            worker.close()
    if not server.started:
        raise SystemExit(STARTUP_FAILED)
