"""The `hardneg` command. Each command imports what it needs, so that `--help` is quick."""

import typer

app = typer.Typer(
    name="hardneg",
    help="Mines hard negatives for object detectors from an unlabelled image pool.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _one_command_of_several() -> None:
    pass


@app.command()
def serve() -> None:
    """Run the API and the scorer; settings come from HARDNEG_… in the environment."""
    from service.server import run_server
    from service.settings import Settings

    run_server(Settings())


def main() -> None:
    app()
