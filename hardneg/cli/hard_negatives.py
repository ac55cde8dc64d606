"""`hardneg hard-negatives`: the ranked list from a shell."""

from pathlib import Path
from typing import Annotated

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect


def hard_negatives(
    n: Annotated[int, typer.Option("-n", "--n", min=1, max=1000, help="How many.")] = 10,
    model_version: Annotated[
        str | None, typer.Option(help="Id or name; the serving one by default.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Only images with a detection of this class.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Only images that score as much.")
    ] = None,
    max_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Only images that score no more.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only images from there.")] = None,
    trained: Annotated[
        bool | None,
        typer.Option("--trained/--not-trained", help="Only images trained on already, or none."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's JSON.")] = False,
    save_sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save them as one picture with boxes: .jpg or .png."),
    ] = None,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    List the pool's worst images.

    Worst first: those on which the serving version is most surely wrong.

    \b
    Examples:
      hardneg hard-negatives -n 20 --save-sheet worst.jpg
      hardneg hard-negatives --label raccoon --min-score 0.5 --json
    """
    asked = {
        "n": n,
        "model_version": model_version,
        "label": label,
        "min_score": min_score,
        "max_score": max_score,
        "source": source,
        "trained": trained,
    }
    with connect(url, api_key) as client:
        page = client.hard_negatives(
            {name: str(value) for name, value in asked.items() if value is not None}
        )
        if as_json:
            typer.echo(page.model_dump_json(indent=2))
        else:
            from hardneg.display.ranking import print_table

            print_table(page)
        if save_sheet is not None:
            from hardneg.display.contact_sheet import save_contact_sheet

            save_contact_sheet(client, page, save_sheet)
            typer.echo(f"saved {save_sheet}", err=True)
