"""Runs the service until it is told to stop."""

import uvicorn

from service.app import create_app
from service.logs import set_up_logs
from service.settings import Settings


def run_server(settings: Settings) -> None:
    """Serve on the address of the settings; SIGTERM and SIGINT stop it gracefully."""
    set_up_logs(settings.log_level, settings.log_format)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        # An open stream of events would hold the process for as long as its client likes.
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
    )
