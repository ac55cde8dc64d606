"""`hardneg demo`: the whole loop on generated scenes."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from hardneg.cli.failure import fail

NEEDED = ("matplotlib", "skimage", "sklearn")  # the service itself works without them


def demo(
    folder: Annotated[Path, typer.Option(help="Folder for the data and the pictures.")] = Path(
        "demo-data"
    ),
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port of the service. Default: 8000, or a free port if that is taken.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of the scenes and of the training.")
    ] = 0,
    steps: Annotated[
        int, typer.Option(min=1, help="Steps of the first training, 16 images each.")
    ] = 300,
    train_size: Annotated[int, typer.Option(min=16, help="Labelled scenes to train on.")] = 800,
    pool_size: Annotated[int, typer.Option(min=10, help="Photographs to rank.")] = 300,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete the data of earlier runs first.")
    ] = False,
    exits: Annotated[
        bool, typer.Option("--exit", help="Stop the server at the end instead of at Ctrl-C.")
    ] = False,
) -> None:
    """
    Show the whole loop from end to end.

    The demo starts the service on SQLite and loopback, and sends it photographs with handwritten
    digits and their boxes. It trains a small detector from scratch to find two of the digits, and
    prints the ten photographs with other digits or none that fool it most. Then it retrains the
    detector with the hardest of them, prints AP and false detections before and after, and leaves
    the service running. It takes about three minutes on two cores and needs no download: digits and
    photographs come with scikit-learn and scikit-image. A second run continues with the same data.

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
