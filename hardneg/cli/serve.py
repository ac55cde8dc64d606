"""`hardneg serve`: the API and the scorer on this machine."""

from typing import Annotated

import typer

from hardneg.cli.failure import fail
from hardneg.cli.service_settings import DatabaseUrlOption, DataDirOption, load_service_settings


def serve(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on. Default: HARDNEG_HOST, else 127.0.0.1."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on. Default: HARDNEG_PORT, else 8000.")
    ] = None,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="`cpu`, `cuda`, `cuda:1` or `mps`. Default: HARDNEG_DEVICE, else the fastest of "
            "this machine."
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="`json` or `console`. Default: HARDNEG_LOG_FORMAT, else json."
        ),
    ] = None,
) -> None:
    """
    Run the API and the scorer.

    Every setting is an environment variable HARDNEG_… (docs/reference/settings.md); an option given
    here wins over its variable. Without any of them, the service listens on http://127.0.0.1:8000
    and keeps its data in ./data. Ctrl-C or SIGTERM stops it.

    \b
    Example: HARDNEG_API_KEY=… hardneg serve --host 0.0.0.0 --data-dir /srv/hardneg
    """
    from models.process import tune_process

    tune_process()
    settings = load_service_settings(
        {
            "host": host,
            "port": port,
            "data_dir": data_dir,
            "database_url": database_url,
            "device": device,
            "log_format": log_format,
        }
    )
    from service.server import run_server
    from service.start import StartRefused

    try:
        run_server(settings)
    except StartRefused as error:
        fail(str(error))
