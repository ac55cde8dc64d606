"""`hardneg freeze`: a list of images to train on elsewhere."""

from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.selection import CollapseInMiningOption, HoldOption, selection

if TYPE_CHECKING:
    from hardneg.schemas.training_runs import FreezeFields


def freeze(
    start_from: Annotated[
        str | None,
        typer.Option(help="Id or name of the parent version. Default: the serving version."),
    ] = None,
    num_negatives: Annotated[
        int | None,
        typer.Option(min=0, help="New negatives. Default: what --negative-fraction gives."),
    ] = None,
    negative_fraction: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="New negatives, as a fraction of the labelled training images. Default: 0.15.",
        ),
    ] = None,
    strategy: Annotated[
        Literal["hard", "families", "random", "none"] | None,
        typer.Option(
            help="`hard` takes the hardest images, `families` the hardest of each family of "
            "look-alikes in turn, `random` any, `none` no new ones. Default: hard."
        ),
    ] = None,
    hold: HoldOption = None,
    collapse: CollapseInMiningOption = False,
    promotion: Annotated[
        Literal["auto", "manual", "never"] | None,
        typer.Option(
            help="What becomes of the trained version: `auto` lets it serve if it is better, "
            "`manual` and `never` leave that to `hardneg model activate`. Default: auto."
        ),
    ] = None,
    ap_margin: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Loss of AP that `auto` accepts. Default: 0.01."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the random choice. Default: 0.")
    ] = None,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Freeze a list of images to train on elsewhere.

    The list holds what `hardneg mine` would train on: the labelled images, the negatives of earlier
    rounds, and the hardest new ones of the pool. Nothing is trained. Add the version that another
    trainer makes of it with `hardneg model add FILE --run ID`.

    \b
    Examples:
      hardneg freeze
      hardneg freeze --start-from yolo --num-negatives 200
    """
    options = {
        "start_from": start_from,
        "num_negatives": num_negatives,
        "negative_fraction": negative_fraction,
        "strategy": strategy,
        "selection": selection(hold, collapse=collapse),
        "promotion": promotion,
        "ap_margin": ap_margin,
        "seed": seed,
    }
    given = {field: value for field, value in options.items() if value is not None}
    with connect(url, api_key) as client:
        run = client.freeze(**cast("FreezeFields", given))
        parent = client.model_version(run.parent_version_id or 0).name
    typer.echo(
        f"run {run.id} is frozen, from version {parent}: {run.num_labelled} labelled, "
        f"{run.num_kept} kept and {run.num_mined} mined images"
    )
    if run.holding is not None and run.holding.is_applied:
        typer.echo(f"{len(run.holding.held)} images that look like true objects are held back")
    elif run.holding is not None:
        typer.echo(f"no image is held back: {run.holding.reason}")
    typer.echo(
        f"fetch its images with:  hardneg export --run {run.id} --format yolo --out run{run.id}"
    )
    typer.echo(f"add the result of the training with:  hardneg model add FILE --run {run.id}")
