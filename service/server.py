"""The server process: from its start to its graceful stop."""

import os
import socket
from contextlib import nullcontext
from threading import Event, Timer
from types import FrameType

import structlog
import uvicorn
from anyio.to_thread import run_sync

from models.data.images import close_decode_processes
from service.app import create_app
from service.logs import set_up_logs
from service.protocol import Protocol
from service.settings import Settings
from service.start import check_start
from service.stderr_lines import all_lines_logged
from service.traces import traces_sent
from service.worker.embedded import EmbeddedWorker, start_embedded_worker

STARTUP_FAILED = 3  # the exit status of `uvicorn.run`
CUT_SHORT = 4
REQUESTS_SHARE = 0.7  # of the time to stop; the rest is for closing what they used

log = structlog.get_logger()


class Server(uvicorn.Server):
    """
    A server that ends event streams and the embedded worker when it receives a stop signal.

    Both end before uvicorn raises the signal again, which ends the process at once. If anything
    holds the stop up for longer than `stop_within_s`, the process ends all the same: what it has
    acknowledged is stored, and the worker ends with it or saves its jobs alone.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        stopping: Event,
        worker: EmbeddedWorker | None,
        stop_within_s: float,
    ) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._worker = worker
        self._deadline = Timer(stop_within_s, _end_at_once)
        self._deadline.daemon = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self._stopping.is_set():
            self._stopping.set()
            self._deadline.start()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self._worker is not None:
            await run_sync(self._worker.close)


def _end_at_once() -> None:
    log.warning("the stop took too long: ending at once")
    close_decode_processes()
    os._exit(CUT_SHORT)


def run_server(settings: Settings) -> None:
    """
    Serve on the address of the settings until SIGTERM or SIGINT stops it gracefully.

    Raises StartRefused.
    """
    set_up_logs(settings.log_level, settings.log_format)
    check_start(settings)
    lines_logged = all_lines_logged() if settings.log_format == "json" else nullcontext()
    with lines_logged, traces_sent(settings):
        _serve(settings)


def _serve(settings: Settings) -> None:
    stopping = Event()
    app = create_app(settings, stopping)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        http=Protocol,
        ws="none",  # there is no WebSocket, and middleware sees HTTP alone
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxy_list,
        # Without it, an open event stream would keep the process alive until its client leaves.
        timeout_graceful_shutdown=max(1, int(REQUESTS_SHARE * settings.shutdown_timeout_s)),
    )
    worker = start_embedded_worker(settings) if settings.embedded_worker else None
    server = Server(config, stopping, worker, settings.shutdown_timeout_s)
    try:
        server.run()
    finally:
        if worker is not None:
            worker.close()
    if not server.started:
        raise SystemExit(STARTUP_FAILED)
