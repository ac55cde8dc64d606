"""`hardneg hard-negatives`: the ranked list from a shell."""

from pathlib import Path
from typing import Annotated

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.filters import (
    CollapseOption,
    HeldOption,
    LabelOption,
    MaxScoreOption,
    MinScoreOption,
    ModelVersionOption,
    SourceOption,
    TrainedOption,
)


def hard_negatives(
    n: Annotated[int, typer.Option("-n", "--n", min=1, max=1000, help="How many images.")] = 10,
    model_version: ModelVersionOption = None,
    label: LabelOption = None,
    min_score: MinScoreOption = None,
    max_score: MaxScoreOption = None,
    source: SourceOption = None,
    trained: TrainedOption = None,
    held: HeldOption = None,
    collapse: CollapseOption = False,
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
    List the pool's hardest images, hardest first.

    These are the images without an object on which the model version is most confident to see one.

    \b
    Examples:
      hardneg hard-negatives -n 20 --save-sheet worst.jpg
      hardneg hard-negatives --label raccoon --min-score 0.5 --json
    """
    with connect(url, api_key) as client:
        page = client.hard_negatives(
            n,
            model_version=model_version,
            label=label,
            min_score=min_score,
            max_score=max_score,
            source=source,
            trained=trained,
            held=held,
            collapse=collapse,
        )
        if save_sheet is not None:  # before anything is printed: `| head` may end the command
            from hardneg.display.contact_sheet import save_contact_sheet

            save_contact_sheet(client, page.items, save_sheet)
            typer.echo(f"saved {save_sheet}", err=True)
    if as_json:
        typer.echo(page.model_dump_json(indent=2))
    else:
        from hardneg.display.ranking import print_table

        print_table(page)
