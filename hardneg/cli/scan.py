"""`hardneg scan`: score all stored images with any version."""

from typing import Annotated

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.watching import require_done, watch


def scan(
    model_version: Annotated[
        str | None,
        typer.Argument(
            metavar="[VERSION]",
            help="Id or name of a model version. Default: the serving version.",
        ),
    ] = None,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Score all stored images that a version has not scored.

    A worker of the service does the work; each further `hardneg worker --lanes scan`, on this
    machine or another, makes it faster. Afterwards `hardneg hard-negatives --model-version` shows
    the worst images.

    \b
    Example: hardneg scan v2
    """
    with connect(url, api_key) as client:
        job = client.start_scan(model_version)
        again = "hardneg scan" + ("" if model_version is None else f" {model_version}")
        done = watch(client, job.id, again)
        require_done(done)
    result = done.result or {}
    typer.echo(f"scored {result.get('num_scored', 0)} images")
