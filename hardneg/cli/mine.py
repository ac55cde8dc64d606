"""`hardneg mine`: rounds of mining and retraining from a shell."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.selection import CollapseInMiningOption, HoldOption, selection
from hardneg.cli.watching import require_done, watch

if TYPE_CHECKING:
    from hardneg.client import Client
    from hardneg.schemas.jobs import JobDetail
    from hardneg.schemas.training_runs import RetrainFields

SamplerChoice = Literal["hard-negative", "batched-hard-negative", "balanced", "ratio", "all"]


def mine(
    iterations: Annotated[
        int,
        typer.Option(
            min=1, help="Maximum number of rounds; a round that improves nothing is the last one."
        ),
    ] = 1,
    num_negatives: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="New negatives per round. Default: what --negative-fraction gives.",
        ),
    ] = None,
    negative_fraction: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="New negatives per round, as a fraction of the labelled training images. "
            "Default: 0.15.",
        ),
    ] = None,
    strategy: Annotated[
        Literal["hard", "families", "random", "none"] | None,
        typer.Option(
            help="`hard` takes the hardest images, `families` the hardest of each family of "
            "look-alikes in turn, `random` any, `none` trains as long without new negatives. "
            "Default: hard."
        ),
    ] = None,
    hold: HoldOption = None,
    collapse: CollapseInMiningOption = False,
    recipe: Annotated[
        Literal["given", "auto"] | None,
        typer.Option(
            help="`auto` tries three pairs of --negative-share and --negative-weight, and takes "
            "the best on a fifth of the pool, which is never mined again. Default: given."
        ),
    ] = None,
    sampler: Annotated[
        SamplerChoice | None,
        typer.Option(
            help="How anchors are chosen for the loss. Default: the detector family's own sampler."
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each round. Default: 10.")
    ] = None,
    steps_per_epoch: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps of each epoch. Default: as many as show every labelled image once."
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images per step. Default: 16.")
    ] = None,
    negative_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of negatives in every batch. Default: 0.3."),
    ] = None,
    negative_weight: Annotated[
        float | None,
        typer.Option(
            help="Weight of background anchors in the loss. Default: the detector family's own."
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Learning rate. Default: 0.0005 with a parent version, else 0.002."),
    ] = None,
    augmentation: Annotated[
        Literal["standard", "unmirrored", "none"] | None,
        typer.Option(help="How training images are varied. Default: standard."),
    ] = None,
    promotion: Annotated[
        Literal["auto", "manual", "never"] | None,
        typer.Option(
            help="`auto` lets a better version serve at once, `manual` and `never` leave that to "
            "`hardneg model activate`. Default: auto."
        ),
    ] = None,
    ap_margin: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Loss of AP that `auto` accepts. Default: 0.01."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of all random choices. Default: 0.")
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(help="Id or name of the parent version. Default: the serving version."),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(help="Train a detector of this architecture instead of a parent version."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="With --architecture: `imagenet` or `COCO_V1`. Default: random."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the new version. Default: `v` and its id.")
    ] = None,
    job: Annotated[
        int | None, typer.Option(min=1, help="Watch this job instead of starting a new one.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw AP and false detections as curves: .png, .pdf or .svg."
        ),
    ] = None,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Mine the hardest images, retrain with them, and show the result.

    A worker of the service does the work (POST /retrain). The command watches it, and prints AP and
    false detections before and after. Ctrl-C ends the command; it ends the job only if you confirm
    it.

    \b
    Examples:
      hardneg mine --iterations 3 --plot curves.png
      hardneg mine --strategy random --promotion never --num-negatives 40
      hardneg mine --recipe auto
      hardneg mine --job 4 --plot curves.png
    """
    if plot is not None:
        _check_drawing()
    options = {
        "iterations": iterations,
        "num_negatives": num_negatives,
        "negative_fraction": negative_fraction,
        "strategy": strategy,
        "selection": selection(hold, collapse=collapse),
        "recipe": recipe,
        "sampler": None if sampler is None else {"name": sampler},
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "batch_size": batch_size,
        "negative_share": negative_share,
        "negative_weight": negative_weight,
        "learning_rate": learning_rate,
        "augmentation": augmentation,
        "promotion": promotion,
        "ap_margin": ap_margin,
        "seed": seed,
        "start_from": start_from,
        "architecture": architecture,
        "weights": weights,
        "name": name,
    }
    given = {field: value for field, value in options.items() if value is not None}
    with connect(url, api_key) as client:
        job_id = client.retrain(**cast("RetrainFields", given)).id if job is None else job
        ended = watch(client, job_id, f"hardneg mine --job {job_id}")
        _show(client, ended, plot)
    require_done(ended)


def _check_drawing() -> None:
    """Warn before the work if the curves cannot be drawn; the work goes on without them."""
    from hardneg.display.curves import can_draw

    if not can_draw():
        typer.echo(
            "hardneg: the curves will not be drawn, because matplotlib is missing: "
            "pip install 'hardneg[plots]', then repeat the command with --job ID --plot FILE",
            err=True,
        )


def _show(client: "Client", job: "JobDetail", plot: Path | None) -> None:
    from hardneg.display.curves import can_draw, save_curves
    from hardneg.display.iterations import iterations_of_job, print_iterations

    rows = iterations_of_job(client, job.id)
    if not rows:
        return
    print_iterations(rows)
    if plot is not None and can_draw():
        save_curves(rows, plot)
        typer.echo(f"saved {plot}", err=True)
