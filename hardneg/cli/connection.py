"""What the commands have in common: settings, the server they talk to, how they fail."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from hardneg.client import Client
    from service.settings import Settings

UrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Address of the service; by default that of HARDNEG_HOST and HARDNEG_PORT.",
    ),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Its key; HARDNEG_API_KEY by default."),
]


def fail(message: str) -> NoReturn:
    """End the command with a sentence on stderr and exit code 1."""
    typer.echo(f"hardneg: {message}", err=True)
    raise typer.Exit(1)


def load_settings(overrides: Mapping[str, object] | None = None) -> "Settings":
    """The environment's settings, some replaced; None replaces nothing. Fails on a wrong one."""
    from pydantic import ValidationError

    from service.settings import Settings

    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        fail("; ".join(_reason(item["loc"], item["msg"]) for item in error.errors()))


def warn_of_unknown_variables() -> None:
    """Say on stderr which variables name no setting, so that a misspelt one is not passed over."""
    from service.settings import unknown_variables

    for name, meant in unknown_variables().items():
        hint = f", did you mean {meant}?" if meant else ""
        typer.echo(f"hardneg: no setting is called {name}{hint}", err=True)


def _reason(place: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"HARDNEG_{str(place[0]).upper()}: {message}" if place else message


@contextmanager
def connect(url: str | None, api_key: str | None) -> Iterator["Client"]:
    """A client of the server meant; whatever goes wrong in this context ends the command."""
    from hardneg.client import Client, ClientError, server_url

    if url is None or api_key is None:
        settings = load_settings()
        url = url or server_url(settings.host, settings.port)
        if api_key is None and settings.api_key is not None:
            api_key = settings.api_key.get_secret_value()
    try:
        with Client(url, api_key) as client:
            yield client
    except ClientError as error:
        fail(str(error))
