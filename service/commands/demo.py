"""`hardneg demo`: everything at once, on made-up data."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.connection import fail


def demo(
    folder: Annotated[Path, typer.Option(help="Where all of it is kept.")] = Path("demo-data"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="8000, or a free one if that is taken.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other scenes.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Of training, 16 images each.")] = 400,
    pool_size: Annotated[int, typer.Option(min=10, help="Photographs to rank.")] = 300,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over, without an earlier run's data.")
    ] = False,
    exits: Annotated[
        bool, typer.Option("--exit", help="Stop the server at the end instead of at Ctrl-C.")
    ] = False,
) -> None:
    """
    Show the main job from end to end.

    Trains a small detector from scratch to find handwritten digits in photographs, starts the
    service on SQLite and loopback, posts a pool of photographs with other digits or none, prints
    the ten that fool the detector most, and leaves the service running. Takes about two minutes
    on two cores and needs no download: digits and photographs come with scikit-learn and
    scikit-image. Run again, it goes on with the same data.

    \b
    Example: hardneg demo --folder /tmp/demo --port 8080
    """
    try:
        from service.client import ClientError
        from service.demo.run import DemoOptions, run_demo
    except ModuleNotFoundError as error:
        if error.name not in ("sklearn", "skimage"):
            raise
        fail("the demo needs scikit-learn and scikit-image: pip install 'hardneg[demo]'")
    options = DemoOptions(
        folder=folder,
        port=port,
        seed=seed,
        num_steps=steps,
        pool_size=pool_size,
        starts_over=fresh,
        exits=exits,
    )
    try:
        run_demo(options)
    except ClientError as error:
        fail(str(error))
