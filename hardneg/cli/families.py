"""`hardneg families`: look-alikes among the hardest images, to see and to judge together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.failure import fail
from hardneg.cli.watching import require_done, watch

if TYPE_CHECKING:
    from hardneg.client import Client


def families(
    n: Annotated[int, typer.Option("-n", "--n", min=1, max=1000, help="How many families.")] = 20,
    model_version: Annotated[
        str | None,
        typer.Option(help="Id or name of a model version. Default: the serving version."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Score from which a detection counts.")
    ] = 0.5,
    min_size: Annotated[
        int, typer.Option(min=1, help="Only families of at least so many images.")
    ] = 1,
    group: Annotated[
        bool,
        typer.Option("--group", help="Group the hardest images first; a worker does the work."),
    ] = False,
    num_images: Annotated[
        int,
        typer.Option(
            min=1, max=5000, help="With --group: how many of the hardest images to group."
        ),
    ] = 200,
    family: Annotated[
        int | None, typer.Option(metavar="ID", min=1, help="Show the images of this family.")
    ] = None,
    save_sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --family: save its images as one picture with boxes: .jpg or .png.",
        ),
    ] = None,
    judge: Annotated[
        Literal["negative", "contains-object", "unsure"] | None,
        typer.Option(
            help="With --family: give all its images this verdict, but those that have another one."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's JSON.")] = False,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    List families of look-alikes among the hardest images, by best score.

    One kind of thing often fools a detector again and again. Save the sheet of a family, look at
    it, and judge all of its images at once. A new grouping makes new families with new ids.

    \b
    Examples:
      hardneg families --group
      hardneg families --family 7 --save-sheet family.jpg
      hardneg families --family 7 --judge negative
    """
    if family is None and (save_sheet is not None or judge is not None):
        fail("say which family with --family ID; `hardneg families` lists them")
    with connect(url, api_key) as client:
        if group:
            job = client.start_grouping(model_version, num_images=num_images)
            require_done(watch(client, job.id, "hardneg families"))
        if family is not None:
            _show_family(client, family, save_sheet, judge, as_json=as_json)
            return
        report = client.families(model_version, threshold=threshold, min_size=min_size, limit=n)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        from hardneg.display.families import print_families

        print_families(report)


def _show_family(
    client: "Client", family_id: int, sheet: Path | None, verdict: str | None, *, as_json: bool
) -> None:
    from hardneg.display.families import print_family, print_judged, ranked_members

    judged = None if verdict is None else client.judge_images(verdict, family_id=family_id)
    page = client.family(family_id, limit=1000)
    if sheet is not None:
        from hardneg.display.contact_sheet import save_contact_sheet

        save_contact_sheet(client, ranked_members(page), sheet)
        typer.echo(f"saved {sheet}", err=True)
    if as_json:
        typer.echo((judged or page).model_dump_json(indent=2))
        return
    print_family(page)
    if judged is not None:
        print_judged(judged)
