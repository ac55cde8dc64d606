"""`hardneg model`: the registry of model versions from a shell."""

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
        Path | None, typer.Argument(help="Safetensors checkpoint that this project wrote.")
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(help="Build a detector of this architecture instead, such as `ssd_small`."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Weights of the architecture: `COCO_V1`, `imagenet`, … Default: random."),
    ] = None,
    class_names: Annotated[
        list[str] | None,
        typer.Option(
            "--class", help="Object class of the architecture; repeat the option, in label order."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the version. Default: `v` and its id.")
    ] = None,
    activate: Annotated[
        bool, typer.Option("--activate", help="Let the version serve at once.")
    ] = False,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Add a model version.

    Give a checkpoint file, or an architecture and its weights. A checkpoint that the service knows
    already stays the version that it is.

    \b
    Examples:
      hardneg model add raccoons.safetensors --name raccoons --activate
      hardneg model add --architecture ssd_small --class raccoon --class fox
    """
    if (file is None) == (architecture is None):
        fail("give either a checkpoint FILE or --architecture")
    if file is not None and (weights or class_names):
        fail("--weights and --class need --architecture: a checkpoint has its own")
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

    The newest version comes first; the serving version is marked.

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
    version: Annotated[str, typer.Argument(help="Id or name of the version.")],
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Let a model version serve.

    The service loads it beside the version that serves, swaps the two between two batches, and
    scores the pool with it in the background. Activating an older version rolls back at once.

    \b
    Example: hardneg model activate raccoons
    """
    with connect(url, api_key) as client:
        serving = client.activate(version)
    typer.echo(
        f"{serving.name} serves; it has scored {serving.scored_images} of the pool's "
        f"{serving.pool_images} images"
    )
