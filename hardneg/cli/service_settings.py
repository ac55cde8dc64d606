"""Settings of the commands that run the service itself on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardneg.cli.failure import fail_on_settings

if TYPE_CHECKING:
    from service.settings import Settings

DataDirOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of the embedded database and the blobs. Default: HARDNEG_DATA_DIR, "
        "else ./data.",
    ),
]
DatabaseUrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Database, such as `postgresql://…`. Default: HARDNEG_DATABASE_URL, else SQLite in "
        "the data folder.",
    ),
]


def load_service_settings(options: Mapping[str, object]) -> "Settings":
    """
    Read the environment's settings, and let the options that were given win over them.

    A wrong setting ends the command. A variable that names no setting is reported on stderr, in
    case it is misspelt.
    """
    from pydantic import ValidationError

    from service.settings import Settings, unknown_variables

    for name, meant in unknown_variables().items():
        hint = f", did you mean {meant}?" if meant else ""
        typer.echo(f"hardneg: no setting is called {name}{hint}", err=True)
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        fail_on_settings(error)
