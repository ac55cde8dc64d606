"""The whole loop over HTTP: label, train, mine, retrain, measure."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from hardneg.client import Client, ClientError
from hardneg.demo.data import CLASS_NAMES, LABELS, SceneFolders
from hardneg.display.contact_sheet import save_contact_sheet
from hardneg.display.curves import save_curves
from hardneg.display.iterations import iterations_of_job, print_iterations
from hardneg.display.job_watch import watch_job
from hardneg.display.progress import image_progress, job_progress
from hardneg.display.ranking import print_table
from hardneg.schemas.jobs import JobStatus
from hardneg.schemas.training_runs import RetrainFields
from hardneg.uploads.annotations import read_coco
from hardneg.uploads.folder import import_images
from hardneg.uploads.image_files import find_images
from hardneg.uploads.labelled import import_labelled

ARCHITECTURE = "ssd_small"
BATCH_SIZE = 16
FIRST, MINED = "digits", "mined"
NUM_SHOWN = 10
NUM_CONNECTIONS = 1  # images get their ids in order, the same in every run


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """Length of the first training and of each round, and the number of images a round mines."""

    seed: int
    num_steps: int
    num_round_steps: int
    num_mined: int


def show_loop(client: Client, scenes: SceneFolders, options: LoopOptions, folder: Path) -> None:
    """
    Show the loop step by step; steps that an earlier run has done are not repeated.

    Raises:
        ClientError: The service refused a step, or a job failed.
    """
    _send_scenes(client, scenes)
    typer.echo(
        f"\ntraining {ARCHITECTURE} from scratch to find handwritten {' and '.join(CLASS_NAMES)}: "
        f"{options.num_steps} steps of {BATCH_SIZE}"
    )
    with _step("trained, and scored everything"):
        _retrain(client, first_request(options))
    _show_hardest(client, folder / "hard-negatives.jpg")
    typer.echo(
        f"\nmining the {options.num_mined} hardest and retraining with them, twice: "
        f"{options.num_round_steps} steps each"
    )
    with _step("mined and retrained"):
        job_id = _retrain(client, mining_request(options))
    rows = iterations_of_job(client, job_id)
    typer.echo("")
    print_iterations(rows)
    curves = folder / "curves.png"
    save_curves(rows, curves)
    typer.echo(f"as curves: {curves}")


def _send_scenes(client: Client, scenes: SceneFolders) -> None:
    for split, labelled in (("train", scenes.train), ("val", scenes.val)):
        with _step(f"sent {labelled.name} with boxes"), image_progress() as progress:
            reading = read_coco(labelled / LABELS, labelled)
            boxes = import_labelled(client, reading, split=split, source="demo", progress=progress)
        _check_all_went_in(boxes.refused)
    for split, negatives in (("negative-test", scenes.sealed), ("pool", scenes.pool)):
        with _step(f"sent {negatives.name}"), image_progress() as progress:
            report = import_images(
                client,
                find_images(negatives),
                split=split,
                source="demo",
                num_connections=NUM_CONNECTIONS,
                progress=progress,
            )
        _check_all_went_in([refused.reason for refused in report.refused])


def _check_all_went_in(refused: list[str]) -> None:
    if refused:
        raise ClientError(f"{len(refused)} images were refused, the first because: {refused[0]}")


def first_request(options: LoopOptions) -> RetrainFields:
    return {
        "name": FIRST,
        "architecture": ARCHITECTURE,
        "epochs": 1,
        "steps_per_epoch": options.num_steps,
        "batch_size": BATCH_SIZE,
        "learning_rate": 3e-3,
        "augmentation": "none",
        "seed": options.seed,
    }


def mining_request(options: LoopOptions) -> RetrainFields:
    """
    Build the request for two rounds of mining.

    The detector is still learning when it is mined, so AP rises in both rounds on every processor
    tried, and promotion does not hang on noise: docs/explanation/experiments/demo-recipe.md.
    """
    return {
        "name": MINED,
        "start_from": FIRST,
        "iterations": 2,
        "num_negatives": options.num_mined,
        "selection": {"hold": "off"},  # the scenes of the pool were drawn without a 3 or an 8
        "negative_share": 0.4,
        "epochs": 1,
        "steps_per_epoch": options.num_round_steps,
        "batch_size": BATCH_SIZE,
        "learning_rate": 2e-3,
        "augmentation": "none",
        "seed": options.seed,
    }


def _retrain(client: Client, request: RetrainFields) -> int:
    """Wait for a retrain job, an earlier run's if there is one, and return its id."""
    job_id = _earlier_job(client, request["name"])
    if job_id is None:
        job_id = client.retrain(**request).id
    with job_progress() as progress:
        job = watch_job(client, job_id, progress)
    if job.status is not JobStatus.DONE:
        raise ClientError(f"job {job_id} is {job.status}: {job.failure}")
    return job_id


def _earlier_job(client: Client, name: object) -> int | None:
    """Return the job of this name that is done or not yet over, if there is one."""
    for job in client.iter_jobs(kind="retrain"):
        if job.params["name"] == name and job.status not in (
            JobStatus.FAILED,
            JobStatus.CANCELLED,
        ):
            return job.id
    return None


def _show_hardest(client: Client, sheet: Path) -> None:
    page = client.hard_negatives(NUM_SHOWN, model_version=FIRST)
    typer.echo(
        f"\nthe {NUM_SHOWN} hardest negatives: no {' and no '.join(CLASS_NAMES)} in any of them "
        "(the file's name tells what is)"
    )
    print_table(page)
    save_contact_sheet(client, page.items, sheet)
    typer.echo(f"with their boxes drawn: {sheet}")


@contextmanager
def _step(done: str) -> Iterator[None]:
    """Print the step and its duration when it is done."""
    started = time.monotonic()
    yield
    typer.echo(f"{done} in {time.monotonic() - started:.1f} s")
