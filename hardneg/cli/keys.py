"""`hardneg keys`: the API keys of the service, in its database."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from hardneg.cli.failure import fail
from hardneg.cli.service_settings import DatabaseUrlOption, DataDirOption, load_service_settings

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from hardneg.schemas.keys import KeyOut

keys = typer.Typer(
    help="Create, list and revoke API keys, in the service's database on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
DURATIONS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}  # in s


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="Who or what uses the key, such as `ci`.")],
    role: Annotated[
        str,
        typer.Option(
            help="`read`, `review`, `write`, `train` or `admin`; each includes those before it."
        ),
    ],
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="`90d`, `12h`, or a date such as 2030-12-31. Default: never."
        ),
    ] = None,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
) -> None:
    """
    Create a key and print it. It is shown only now: the database keeps a hash.

    `read` sees everything, `review` also judges images, `write` also uploads images and labelled
    data, `train` also retrains, freezes, cancels and exports, `admin` also changes versions and
    keys and deletes.

    \b
    Example: hardneg keys create --name ci --role write --expires 90d
    """
    from pydantic import ValidationError

    from hardneg.schemas.keys import KeyRequest

    try:
        request = KeyRequest.model_validate(
            {"name": name, "role": role, "expires_at": expires and _moment(expires)}
        )
    except ValidationError as error:
        fail("; ".join(f"--{item['loc'][0]}: {item['msg']}" for item in error.errors()))
    with _session(data_dir, database_url) as session:
        from service.auth import service

        key = service.create_key(session, request)
    typer.echo(f"key {key.id}, '{key.name}', with the role {key.role}:", err=True)
    typer.echo(key.key)


@keys.command("list")
def list_keys(data_dir: DataDirOption = None, database_url: DatabaseUrlOption = None) -> None:
    """
    List all keys, without their texts.

    \b
    Example: hardneg keys list
    """
    with _session(data_dir, database_url) as session:
        from service.auth import service

        found = service.list_keys(session)
    for key in found:
        typer.echo(f"{key.id:>4}  {key.role:<7} {_state(key):<28} {key.name}")


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Name or id of the key.")],
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
) -> None:
    """
    Revoke a key: a running service refuses it within two seconds.

    \b
    Example: hardneg keys revoke ci
    """
    with _session(data_dir, database_url) as session:
        from service.auth import service

        revoked = service.revoke_key(session, key)
    typer.echo(f"key {revoked.id}, '{revoked.name}', is revoked")


@contextmanager
def _session(data_dir: "Path | None", database_url: str | None) -> Iterator["Session"]:
    """Yield a transaction on the migrated database; end the command if the service refuses."""
    settings = load_service_settings({"data_dir": data_dir, "database_url": database_url})
    from sqlalchemy.exc import ArgumentError, OperationalError

    from service.db import open_engine, open_sessions
    from service.errors import ServiceError
    from service.identity import COMMAND_LINE, acting_as
    from service.migrate import upgrade

    try:
        engine = open_engine(settings.sqlalchemy_url)
        upgrade(engine)
        with acting_as(COMMAND_LINE), open_sessions(engine).begin() as session:
            yield session
        engine.dispose()
    except ArgumentError as error:
        fail(f"HARDNEG_DATABASE_URL: {error}")
    except OperationalError as error:
        fail(f"the database does not answer: {error.orig}")
    except ServiceError as error:
        fail(error.detail)


def _moment(text: str) -> datetime:
    """Return the moment after a duration such as `90d`, or the one that ISO 8601 text names."""
    number, unit = text[:-1], text[-1:]
    if unit in DURATIONS and number.isdecimal() and len(number) < 7:
        return datetime.now(UTC) + timedelta(seconds=int(number) * DURATIONS[unit])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"--expires: write '90d', '12h' or a date such as 2030-12-31, not '{text}'")
    return moment if moment.tzinfo else moment.astimezone()


def _state(key: "KeyOut") -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "valid"
    state = "expired" if key.expires_at <= datetime.now(UTC) else "valid until"
    return f"{state} {key.expires_at:%Y-%m-%d %H:%M} UTC"
