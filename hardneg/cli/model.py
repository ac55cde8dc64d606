"""`hardneg model`: the registry from a shell."""

from pathlib import Path
from typing import Annotated

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.failure import fail

model = typer.Typer(
    help="Add, list and activate model versions.", no_args_is_help=True, rich_markup_mode=None
)


@model.command()
def add(
    file: Annotated[
        Path | None, typer.Argument(help="A safetensors checkpoint that this project wrote.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Instead of a file: build this architecture.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Its weights by name: `COCO_V1`, `imagenet`, …")
    ] = None,
    class_names: Annotated[
        list[str] | None,
        typer.Option("--class", help="An object class; repeat it, in label order."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What to call the version; `v` and its id by default.")
    ] = None,
    activate: Annotated[bool, typer.Option("--activate", help="Let it serve at once.")] = False,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Add a model version.

    It is a checkpoint file, or an architecture with the name of its weights. The same checkpoint
    again is the same version.

    \b
    Examples:
      hardneg model add raccoons.safetensors --name raccoons --activate
      hardneg model add --architecture ssd_small --class raccoon --class fox
    """
    if (file is None) == (architecture is None):
        fail("give either a checkpoint FILE or --architecture")
    if file is not None and (weights or class_names):
        fail("--weights and --class go with --architecture: a checkpoint has its own")
    with connect(url, api_key) as client:
        if file is not None:
            version = client.add_checkpoint(file, name)
        else:
            assert architecture is not None
            version = client.add_architecture(
                architecture, weights=weights, class_names=class_names or [], name=name
            )
        typer.echo(
            f"{version.name} (id {version.id}): {version.architecture}, "
            f"{', '.join(version.class_names)}"
        )
        if activate:
            client.activate(str(version.id))
            typer.echo(f"{version.name} serves")


@model.command("list")
def list_versions(url: UrlOption = None, api_key: ApiKeyOption = None) -> None:
    """
    List the model versions.

    The newest comes first; the one that serves is marked.

    \b
    Example: hardneg model list --url http://gpu-box:8000
    """
    from rich.console import Console
    from rich.table import Table

    with connect(url, api_key) as client:
        versions = client.model_versions()
    if not versions:
        typer.echo("there is no model version yet: add one with `hardneg model add`")
        return
    table = Table("", "id", "name", "architecture", "classes", "added", box=None)
    for version in versions:
        table.add_row(
            "serves" if version.is_serving else "",
            str(version.id),
            version.name,
            version.architecture,
            ", ".join(version.class_names),
            f"{version.created_at:%Y-%m-%d %H:%M}",
        )
    Console().print(table)


@model.command()
def activate(
    version: Annotated[str, typer.Argument(help="Id or name.")],
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Let a model version serve.

    It is loaded beside the old one and swapped in between two batches; the pool is scored with it
    in the background. Activating an older version rolls back at once.

    \b
    Example: hardneg model activate raccoons
    """
    with connect(url, api_key) as client:
        serving = client.activate(version)
    typer.echo(
        f"{serving.name} serves; it has scored {serving.scored_images} of the pool's "
        f"{serving.pool_images} images"
    )
