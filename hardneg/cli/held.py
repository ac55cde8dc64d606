"""`hardneg held`: images that look as if they held a true object, for review from a shell."""

from pathlib import Path
from typing import Annotated

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.watching import require_done, watch


def held(
    n: Annotated[int, typer.Option("-n", "--n", min=1, max=1000, help="How many images.")] = 20,
    model_version: Annotated[
        str | None,
        typer.Option(help="Id or name of a model version. Default: the serving version."),
    ] = None,
    test: Annotated[
        bool,
        typer.Option("--test", help="Test the hardest images first; a worker does the work."),
    ] = False,
    num_images: Annotated[
        int,
        typer.Option(
            min=1, max=10_000, help="With --test: how many of the hardest images to test."
        ),
    ] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's JSON.")] = False,
    save_sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Save the images as one picture with boxes: .jpg or .png."
        ),
    ] = None,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    List the pool's images that look like true objects, most object-like first.

    A retraining does not mine them. Judge them: those that hold an object are never mined, and
    those that hold none are mined from then on. Sealed images that look like true objects are named
    below the list.

    \b
    Examples:
      hardneg held --test --save-sheet held.jpg
      hardneg held -n 50 --json
    """
    with connect(url, api_key) as client:
        if test:
            job = client.start_hold_test(model_version, num_images=num_images)
            require_done(watch(client, job.id, "hardneg held"))
        report = client.hold_test(model_version)
        page = client.hard_negatives(n, model_version=model_version, held=True)
        if save_sheet is not None:  # before anything is printed: `| head` may end the command
            from hardneg.display.contact_sheet import save_contact_sheet

            save_contact_sheet(client, page.items, save_sheet)
            typer.echo(f"saved {save_sheet}", err=True)
    if as_json:
        typer.echo(page.model_dump_json(indent=2))
    else:
        from hardneg.display.held import print_held

        print_held(page, report)
