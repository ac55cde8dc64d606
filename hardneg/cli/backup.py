"""`hardneg backup`, `restore` and `fsck`: care of the service's data, on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardneg.cli.failure import fail
from hardneg.cli.service_settings import DatabaseUrlOption, DataDirOption, load_service_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from service.blobs import BlobStore


def backup(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; a backup in it is renewed.")],
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
) -> None:
    """
    Save database and blobs into a folder, while the service runs.

    Every blob is compared with its digest. A second backup into the same folder copies new blobs
    only. Exit code 1: something could not be saved, and is named.

    \b
    Example: hardneg backup /backups/hardneg
    """
    with _opened(data_dir, database_url) as (engine, blobs):
        from service.db import open_sessions, read_only
        from service.upkeep.backup import back_up

        report = back_up(engine, open_sessions(read_only(engine)), blobs, folder)
    for problem in report.problems:
        typer.echo(f"hardneg: {problem}", err=True)
    size = f"{report.size_bytes / 1e6:.1f} MB"
    typer.echo(f"saved {report.num_blobs} blobs, {size}, {report.num_copied} of them new")
    if report.problems:
        raise typer.Exit(1)


def restore(
    folder: Annotated[Path, typer.Argument(help="Folder of a backup.")],
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
) -> None:
    """
    Fill an empty database and blob store from a backup, of either kind of database.

    Every blob is compared with its digest. Stop the service first. A restore that was broken off
    can be run again.

    \b
    Example: hardneg restore /backups/hardneg --data-dir /srv/hardneg
    """
    with _opened(data_dir, database_url) as (engine, blobs):
        from service.upkeep.restore import NotRestorable
        from service.upkeep.restore import restore as restore_backup

        try:
            num_blobs = restore_backup(folder, engine, blobs)
        except NotRestorable as error:
            fail(str(error))
    typer.echo(f"restored {num_blobs} blobs and their rows")


def fsck(
    quick: Annotated[
        bool, typer.Option("--quick", help="Only look whether blobs are there; read none.")
    ] = False,
    delete_orphans: Annotated[
        bool,
        typer.Option("--delete-orphans", help="Delete blobs without a row, an hour old or older."),
    ] = False,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
) -> None:
    """
    Check database and blobs against each other, while the service runs.

    Names every image and version whose bytes are missing or damaged, and blobs without a row. Exit
    code 1: data is missing or damaged.

    \b
    Example: hardneg fsck --quick
    """
    is_whole = True
    with _opened(data_dir, database_url) as (engine, blobs):
        from service.db import open_sessions, read_only
        from service.upkeep.fsck import check

        sessions = open_sessions(read_only(engine))
        for finding in check(
            engine, sessions, blobs, reads_content=not quick, deletes_orphans=delete_orphans
        ):
            is_whole = is_whole and finding.is_orphan
            typer.echo(finding.text)
    if not is_whole:
        raise typer.Exit(1)
    typer.echo("database and blobs are whole")


@contextmanager
def _opened(
    data_dir: Path | None, database_url: str | None
) -> Iterator[tuple["Engine", "BlobStore"]]:
    """Yield the migrated database and the blobs; end the command if either does not answer."""
    settings = load_service_settings({"data_dir": data_dir, "database_url": database_url})
    from sqlalchemy.exc import ArgumentError, OperationalError

    from service.blobs import BlobStore
    from service.db import open_engine
    from service.errors import ServiceError
    from service.migrate import upgrade

    try:
        engine = open_engine(settings.sqlalchemy_url)
        upgrade(engine)
        yield engine, BlobStore(settings.blob_store_url, settings.min_free_bytes)
        engine.dispose()
    except ArgumentError as error:
        fail(f"HARDNEG_DATABASE_URL: {error}")
    except OperationalError as error:
        fail(f"the database does not answer: {error.orig}")
    except ServiceError as error:
        fail(error.detail)
    except OSError as error:
        fail(f"{error.filename or 'the disk'}: {error.strerror or error}")
