"""`hardneg serve`, `worker` and `db`: what runs on the service's own machine."""

from pathlib import Path
from typing import Annotated

import typer

from hardneg.cli.connection import fail, load_settings, warn_of_unknown_variables

db = typer.Typer(help="Look after the database.", no_args_is_help=True, rich_markup_mode=None)

DataDirOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Folder of the embedded database and blobs [./data]."),
]
DatabaseUrlOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="`postgresql://…` instead of SQLite in the data folder."),
]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [8000].")] = None,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    device: Annotated[
        str | None, typer.Option(help="`cpu`, `cuda`, `cuda:1`, `mps` [the best there is].")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="`json` or `console` [json].", metavar="FORMAT")
    ] = None,
) -> None:
    """
    Run the API and the scorer.

    Every setting is an environment variable HARDNEG_… (docs/reference/settings.md); an option here
    wins over its variable. Without any, the service listens on http://127.0.0.1:8000 and keeps its
    data in ./data. Ctrl-C or SIGTERM stops it.

    \b
    Example: HARDNEG_API_KEY=… hardneg serve --host 0.0.0.0 --data-dir /srv/hardneg
    """
    warn_of_unknown_variables()
    settings = load_settings(
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

    run_server(settings)


def worker(data_dir: DataDirOption = None, database_url: DatabaseUrlOption = None) -> None:
    """
    Run one more worker for the service's jobs.

    It works on the database and blobs of the settings, like `hardneg serve`, which starts a
    worker of its own. Ctrl-C or SIGTERM stops it as soon as its job is saved; another worker
    goes on with it.

    \b
    Example: hardneg worker --database-url postgresql://hardneg@db/hardneg
    """
    warn_of_unknown_variables()
    settings = load_settings({"data_dir": data_dir, "database_url": database_url})
    from service.worker.loop import run_worker

    run_worker(settings)


@db.command()
def upgrade(
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
) -> None:
    """
    Bring the database to the newest migration.

    `hardneg serve` does so at start, too; the command is for deployments that do it before.

    \b
    Example: hardneg db upgrade --database-url postgresql://hardneg@db/hardneg
    """
    warn_of_unknown_variables()
    settings = load_settings({"data_dir": data_dir, "database_url": database_url})
    from sqlalchemy.exc import ArgumentError, OperationalError

    from service.db import open_engine
    from service.migrate import upgrade as migrate

    try:
        engine = open_engine(settings.sqlalchemy_url)
        migrate(engine)
        engine.dispose()
    except ArgumentError as error:
        fail(f"HARDNEG_DATABASE_URL: {error}")
    except OperationalError as error:
        fail(f"the database does not answer: {error.orig}")
    typer.echo("the database is at the newest migration")
