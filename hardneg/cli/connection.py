"""The service that a command calls: its options, its settings, a client of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from hardneg.cli.failure import fail, fail_on_settings

if TYPE_CHECKING:
    from hardneg.cli.settings import ClientSettings
    from hardneg.client import Client

UrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Address of the service. Default: HARDNEG_URL, else HARDNEG_HOST and HARDNEG_PORT, "
        "else http://127.0.0.1:8000.",
    ),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Key of the service. Default: HARDNEG_API_KEY."),
]


@contextmanager
def connect(url: str | None, api_key: str | None) -> Iterator["Client"]:
    """Open a client of the service; an error of it ends the command with one sentence."""
    from hardneg.client import Client, ClientError

    if url is None or api_key is None:
        settings = _load_settings()
        url = url or settings.service_url
        if api_key is None and settings.api_key is not None:
            api_key = settings.api_key.get_secret_value()
    try:
        with Client(url, api_key) as client:
            yield client
    except ClientError as error:
        fail(str(error))


def _load_settings() -> "ClientSettings":
    from pydantic import ValidationError

    from hardneg.cli.settings import ClientSettings

    try:
        return ClientSettings()
    except ValidationError as error:
        fail_on_settings(error)
