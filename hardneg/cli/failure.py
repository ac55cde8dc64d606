"""The end of a command that fails: one sentence on stderr, no traceback."""

from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from pydantic import ValidationError


def fail(message: str) -> NoReturn:
    """End the command with a sentence on stderr and exit code 1."""
    typer.echo(f"hardneg: {message}", err=True)
    raise typer.Exit(1)


def fail_on_settings(error: "ValidationError") -> NoReturn:
    """End the command with the name of each wrong setting, and what is wrong with it."""
    fail("; ".join(_reason(item["loc"], item["msg"]) for item in error.errors()))


def _reason(place: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"HARDNEG_{str(place[0]).upper()}: {message}" if place else message
