"""`hardneg demo`: everything at once, on made-up data."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from hardneg.cli.connection import fail

NEEDED = ("matplotlib", "skimage", "sklearn")  # beyond what the service needs


def demo(
    folder: Annotated[Path, typer.Option(help="Where all of it is kept.")] = Path("demo-data"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="8000, or a free one if that is taken.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Another seed makes other scenes.")
    ] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Of training, 16 images each.")] = 300,
    train_size: Annotated[int, typer.Option(min=16, help="Labelled scenes to train on.")] = 800,
    pool_size: Annotated[int, typer.Option(min=10, help="Photographs to rank.")] = 300,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over, without an earlier run's data.")
    ] = False,
    exits: Annotated[
        bool, typer.Option("--exit", help="Stop the server at the end instead of at Ctrl-C.")
    ] = False,
) -> None:
    """
    Show the whole loop from end to end.

    Starts the service on SQLite and loopback, sends it photographs with handwritten digits and
    their boxes, trains a small detector from scratch to find two of the digits, prints the ten
    photographs with other digits or none that fool it most, retrains it with the hardest of them,
    prints AP and false detections before and after, and leaves the service running. Takes about
    three minutes on two cores and needs no download: digits and photographs come with
    scikit-learn and scikit-image. Run again, it goes on with the same data.

    \b
    Example: hardneg demo --folder /tmp/demo --port 8080
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        fail(f"the demo needs {', '.join(missing)}: pip install 'hardneg[demo]'")
    from hardneg.client import ClientError
    from hardneg.demo.run import DemoOptions, run_demo

    options = DemoOptions(
        folder=folder,
        port=port,
        seed=seed,
        num_steps=steps,
        train_size=train_size,
        pool_size=pool_size,
        starts_over=fresh,
        exits=exits,
    )
    try:
        run_demo(options)
    except ClientError as error:
        fail(str(error))
