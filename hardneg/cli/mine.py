"""`hardneg mine`: rounds of mining and retraining from a shell."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.failure import fail

if TYPE_CHECKING:
    from hardneg.client import Client
    from hardneg.schemas.jobs import JobDetail
    from hardneg.schemas.training_runs import RetrainFields

SamplerChoice = Literal["hard-negative", "batched-hard-negative", "balanced", "ratio", "all"]
INTERRUPTED = 130  # what shells answer for a process that Ctrl-C has ended


def mine(
    iterations: Annotated[
        int, typer.Option(min=1, help="Rounds at most; they end when nothing improves any more.")
    ] = 1,
    num_negatives: Annotated[int | None, typer.Option(min=0, help="New images a round.")] = None,
    negative_fraction: Annotated[
        float | None,
        typer.Option(min=0, help="Or their share of the labelled training images [0.15]."),
    ] = None,
    strategy: Annotated[
        Literal["hard", "random", "none"] | None,
        typer.Option(help="How they are chosen; `none` takes the same steps without [hard]."),
    ] = None,
    sampler: Annotated[
        SamplerChoice | None,
        typer.Option(help="Which anchors enter the loss [the detector family's own]."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of each round [10].")] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(min=1, help="[as many as show every labelled image once]")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images a step [16].")] = None,
    negative_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of negatives in every batch [0.3].")
    ] = None,
    negative_weight: Annotated[
        float | None,
        typer.Option(help="Of background in the loss [the detector family's own]."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="[0.0005 from a trained version, else 0.002]")
    ] = None,
    augmentation: Annotated[
        Literal["standard", "unmirrored", "none"] | None,
        typer.Option(help="How training images are changed [standard]."),
    ] = None,
    promotion: Annotated[
        Literal["auto", "manual", "never"] | None,
        typer.Option(help="Whether a better version serves at once [auto]."),
    ] = None,
    ap_margin: Annotated[
        float | None, typer.Option(min=0, max=1, help="Loss of AP that `auto` accepts [0.01].")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of all that is drawn [0].")] = None,
    start_from: Annotated[
        str | None, typer.Option(help="Id or name of a version [the serving one].")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Instead of a version: train one from its beginning.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="With an architecture: `imagenet`, `COCO_V1` [random].")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the new version.")] = None,
    job: Annotated[
        int | None, typer.Option(min=1, help="Ask for nothing: watch this job instead.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the two curves: .png, .pdf or .svg."),
    ] = None,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Mine the worst images, retrain with them, and show what it brought.

    The service's worker does it (POST /retrain); the command watches, and prints AP and false
    detections before and after. Ctrl-C ends the watching, and the job only if you say so.

    \b
    Examples:
      hardneg mine --iterations 3 --plot curves.png
      hardneg mine --strategy random --promotion never --num-negatives 40
      hardneg mine --job 4 --plot curves.png
    """
    if plot is not None:
        _check_drawing()
    options = {
        "iterations": iterations,
        "num_negatives": num_negatives,
        "negative_fraction": negative_fraction,
        "strategy": strategy,
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
        ended = _watch(client, job_id)
        _show(client, ended, plot)
    if ended.status != "done":
        fail(f"job {ended.id} is {ended.status}" + (f": {ended.failure}" if ended.failure else ""))


def _check_drawing() -> None:
    """Said before the work, which goes on without."""
    from hardneg.display.curves import can_draw

    if not can_draw():
        typer.echo(
            "hardneg: the curves need matplotlib, and will not be drawn: "
            "pip install 'hardneg[plots]', then watch the same job again with --job and --plot",
            err=True,
        )


def _watch(client: "Client", job_id: int) -> "JobDetail":
    from hardneg.display.job_watch import watch_job
    from hardneg.display.progress import job_progress

    try:
        with job_progress() as progress:
            return watch_job(client, job_id, progress)
    except KeyboardInterrupt:
        _leave(client, job_id)
        raise typer.Exit(INTERRUPTED) from None


def _leave(client: "Client", job_id: int) -> None:
    if sys.stdin.isatty() and typer.confirm(f"\nCancel job {job_id}?", err=True):
        client.cancel_job(job_id)
        typer.echo(f"job {job_id} is told to stop", err=True)
        return
    typer.echo(
        f"\njob {job_id} goes on; watch it again:  hardneg mine --job {job_id}\n"
        f"or cancel it:  curl -X POST {client.url}/jobs/{job_id}/cancel",
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
