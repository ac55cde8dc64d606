"""The `hardneg` command. Each command imports what it needs, so that `--help` is quick."""

from typing import Annotated

import typer

from hardneg.cli import demo, hard_negatives, mine, operation
from hardneg.cli import import_images as images
from hardneg.cli import model as model_versions
from models.process import tune_process

app = typer.Typer(
    name="hardneg",
    help="Mines hard negatives for object detectors from an unlabelled image pool.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(is_wanted: bool) -> None:
    if not is_wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        typer.echo(f"hardneg {version('hardneg')}")
    except PackageNotFoundError:
        typer.echo("hardneg, run from a checkout that is not installed")
    raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


app.command()(operation.serve)
app.command()(operation.worker)
app.add_typer(operation.db, name="db")
app.add_typer(model_versions.model, name="model")
app.command("import")(images.import_folder)
app.command("hard-negatives")(hard_negatives.hard_negatives)
app.command()(mine.mine)
app.command()(demo.demo)


def main() -> None:
    tune_process()
    app()
