"""`hardneg db`: care of the service's database."""

import typer

from hardneg.cli.failure import fail
from hardneg.cli.service_settings import DatabaseUrlOption, DataDirOption, load_service_settings

db = typer.Typer(help="Look after the database.", no_args_is_help=True, rich_markup_mode=None)


@db.command()
def upgrade(data_dir: DataDirOption = None, database_url: DatabaseUrlOption = None) -> None:
    """
    Bring the database to the newest migration.

    `hardneg serve` does so at start, too; use this command in deployments that migrate before.

    \b
    Example: hardneg db upgrade --database-url postgresql://hardneg@db/hardneg
    """
    settings = load_service_settings({"data_dir": data_dir, "database_url": database_url})
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
