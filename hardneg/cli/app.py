"""The `hardneg` command. Each command imports what it needs when it runs: `--help` is quick."""

from typing import Annotated

import typer

from hardneg.cli.backup import backup, fsck, restore
from hardneg.cli.check import check
from hardneg.cli.db import db
from hardneg.cli.demo import demo
from hardneg.cli.export import export
from hardneg.cli.families import families
from hardneg.cli.freeze import freeze
from hardneg.cli.hard_negatives import hard_negatives
from hardneg.cli.held import held
from hardneg.cli.import_command import import_folder
from hardneg.cli.keys import keys
from hardneg.cli.mine import mine
from hardneg.cli.model import model
from hardneg.cli.scan import scan
from hardneg.cli.serve import serve
from hardneg.cli.worker import worker

app = typer.Typer(
    name="hardneg",
    help="Mine hard negatives for object detectors from an unlabelled image pool.",
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


app.command()(serve)
app.command()(worker)
app.add_typer(db, name="db")
app.add_typer(keys, name="keys")
app.command()(backup)
app.command()(restore)
app.command()(fsck)
model.command()(check)  # it runs the detector here, as `serve` does; the others of `model` do not
app.add_typer(model, name="model")
app.command("import")(import_folder)
app.command("hard-negatives")(hard_negatives)
app.command()(held)
app.command()(families)
app.command()(export)
app.command()(scan)
app.command()(mine)
app.command()(freeze)
app.command()(demo)


def main() -> None:
    """Run the command that the process was started with."""
    app(prog_name="hardneg")
