"""`hardneg model`: the registry of model versions from a shell."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.failure import fail
from hardneg.cli.onnx_options import (
    ClassNamesOption,
    InputSizeOption,
    LayoutOption,
    PresetOption,
    SetOption,
    read_options,
)
from hardneg.cli.watching import require_done, watch

if TYPE_CHECKING:
    from hardneg.client import Client
    from hardneg.schemas.model_versions import AddedVersion, ModelVersionOut

model = typer.Typer(
    help="Add, list and activate model versions.", no_args_is_help=True, rich_markup_mode=None
)


@model.command()
def add(
    file: Annotated[
        Path | None, typer.Argument(help="Safetensors checkpoint of this project, or ONNX file.")
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
    preset: PresetOption = None,
    layout: LayoutOption = None,
    class_names_file: ClassNamesOption = None,
    input_size: InputSizeOption = None,
    settings: SetOption = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the version. Default: `v` and its id.")
    ] = None,
    run: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="ID",
            help="The file was trained elsewhere on the list of this run (`hardneg freeze`): "
            "measure it, and let it serve if it is better.",
        ),
    ] = None,
    activate: Annotated[
        bool, typer.Option("--activate", help="Let the version serve at once.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until the version is measured.")] = True,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Add a model version.

    Give a checkpoint file, an ONNX file that another trainer wrote, or an architecture and its
    weights. A file that the service knows already stays the version that it is. A new one is
    measured on val, if that has labelled images; with --run, the command shows the figures before
    and after, and the decision.

    \b
    Examples:
      hardneg model add raccoons.safetensors --name raccoons --activate
      hardneg model add yolov8n.onnx --activate
      hardneg model add retrained.onnx --run 7
      hardneg model add yolox_s.onnx --preset yolox --class-names coco.txt
      hardneg model add --architecture ssd_small --class raccoon --class fox
    """
    if (file is None) == (architecture is None):
        fail("give either a checkpoint FILE or --architecture")
    if file is not None and (weights or class_names):
        fail("--weights and --class need --architecture: a checkpoint has its own")
    if run is not None and (file is None or activate):
        fail("--run goes with a FILE, and decides itself whether the version serves")
    overrides = read_options(preset, layout, class_names_file, input_size, settings)
    if file is None and overrides is not None:
        fail("--preset, --layout, --class-names, --input-size and --set go with an ONNX FILE")
    with connect(url, api_key) as client:
        if file is not None:
            version = client.add_checkpoint(file, name, overrides, training_run_id=run)
        else:
            assert architecture is not None
            version = client.add_architecture(
                architecture, weights=weights, class_names=class_names or [], name=name
            )
        _print_name(version)
        if activate:
            client.activate(str(version.id))
            typer.echo(f"{version.name} serves")
        if version.job is not None and wait:
            _wait_until_measured(client, version)


def _print_name(version: "ModelVersionOut") -> None:
    classes = ", ".join(version.class_names)
    typer.echo(f"{version.name} (id {version.id}): {version.architecture}, {classes}")


def _wait_until_measured(client: "Client", version: "AddedVersion") -> None:
    from hardneg.display.iterations import iterations_of_job, print_iterations
    from hardneg.display.version_figures import print_figures

    assert version.job is not None
    ended = watch(client, version.job.id, f"hardneg mine --job {version.job.id}")
    require_done(ended)
    rows = iterations_of_job(client, ended.id)
    if rows:
        print_iterations(rows)
    print_figures(client.model_version(version.id), with_measures=not rows)


@model.command()
def show(
    version: Annotated[str, typer.Argument(help="Id or name of the version.")],
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Show a model version and what it was measured at.

    A warning says if an ONNX file finds more with other preprocessing.

    \b
    Example: hardneg model show yolov8n
    """
    from hardneg.display.version_figures import print_figures

    with connect(url, api_key) as client:
        found = client.model_version(version)
    _print_name(found)
    typer.echo(f"scored {found.scored_images} of the pool's {found.pool_images} images")
    print_figures(found)


@model.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="An ONNX file.")],
    preset: PresetOption = None,
    layout: LayoutOption = None,
    class_names_file: ClassNamesOption = None,
    input_size: InputSizeOption = None,
    settings: SetOption = None,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Show how an ONNX file would be scored, or which option it needs.

    The service tries the file in a process with limits of memory and time, and keeps nothing.

    \b
    Examples:
      hardneg model inspect yolov8n.onnx
      hardneg model inspect detector.onnx --preset nanodet --set cell_offset=0.5
    """
    overrides = read_options(preset, layout, class_names_file, input_size, settings)
    with connect(url, api_key) as client:
        found = client.inspect_detector(file, overrides)
    for title, ports in (("input", found.inputs), ("output", found.outputs)):
        for name, shape in ports.items():
            sides = " x ".join("any" if side is None else str(side) for side in shape)
            typer.echo(f"{title:<22} {name}: {sides}")
    for name, value in found.spec.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        typer.echo(f"{name:<22} {'none' if shown is None else shown}")
    batches = "together" if found.runs_batches else "one by one"
    typer.echo(f"{'computed by':<22} {found.runtime}, images {batches}")


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
