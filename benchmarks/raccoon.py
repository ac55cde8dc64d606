"""
Train the small detector on the raccoon pack, and measure it there.

    python -m benchmarks.raccoon train --pack ../shared/data/raccoon --out raccoon.safetensors
    python -m benchmarks.raccoon evaluate --pack ../shared/data/raccoon raccoon.safetensors
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from models.data.augmentation import Augmentation
from models.data.coco import CocoReading, read_coco_file
from models.data.datasets import LabelledImage, negatives_in
from models.detectors import Detector, build
from models.detectors.checkpoint import load_checkpoint, save_checkpoint
from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.false_detections import false_detection_stats
from models.evaluation.intervals import Interval
from models.training.config import TrainingConfig
from models.training.loop import train
from models.training.reports import EpochReport

DEFAULT_PACK = Path("../shared/data/raccoon")
ARCHITECTURE = "ssd_efficientnet_lite0"
# Milder than the default: in a few passes over few images, wilder views were not learnt.
AUGMENTATION = Augmentation(
    crop_probability=0.5,
    min_crop_area=0.5,
    crop_aspect=1.3,
    zoom_out_probability=0.1,
    max_zoom_out=1.3,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    hue=0.0,
)
BASELINE = TrainingConfig(
    epochs=6, steps_per_epoch=50, learning_rate=2e-3, augmentation=AUGMENTATION
)

app = typer.Typer(help=__doc__, no_args_is_help=True)
PackOption = Annotated[Path, typer.Option(help="Folder of the pack.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="CPU threads.")]


@app.command("train")
def train_command(
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")],
    pack: PackOption = DEFAULT_PACK,
    seed: int = 0,
    threads: ThreadsOption = 2,
) -> None:
    """Train on the pack's train split from an ImageNet backbone, then evaluate."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    labelled = read_split(pack, "train")
    detector = build_detector(labelled.class_names)
    config = replace(BASELINE, seed=seed)
    started = time.monotonic()
    train(
        detector, labelled.images, [], read_split(pack, "val").images, config, on_epoch=print_epoch
    )
    typer.echo(f"trained in {time.monotonic() - started:.0f} s")
    save_checkpoint(detector, out)
    print_evaluation(evaluate(detector.eval(), *test_images(pack)))


@app.command("evaluate")
def evaluate_command(
    checkpoint: Path, pack: PackOption = DEFAULT_PACK, threads: ThreadsOption = 2
) -> None:
    """Measure a checkpoint on the pack's val and negatives_test splits."""
    torch.set_num_threads(threads)
    print_evaluation(evaluate(load_checkpoint(checkpoint).eval(), *test_images(pack)))


def build_detector(class_names: Sequence[str]) -> Detector:
    """Build the small detector on an ImageNet backbone; torch's seed draws the other weights."""
    return build(ARCHITECTURE, class_names, weights="imagenet")


def read_split(pack: Path, split: str) -> CocoReading:
    return read_coco_file(pack / split / "annotations.json")


def test_images(pack: Path) -> tuple[tuple[LabelledImage, ...], list[LabelledImage]]:
    return read_split(pack, "val").images, negatives_in(pack / "negatives_test")


def print_epoch(report: EpochReport) -> None:
    losses = "  ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
    typer.echo(
        f"epoch {report.epoch}/{report.num_epochs}  {losses}  AP@[.5:.95] {report.ap50_95:.3f}  "
        f"AP50 {report.ap50:.3f}  {report.duration_s:.0f} s"
    )


def print_evaluation(evaluation: Evaluation) -> None:
    """AP and recall on val, false detections on the sealed negatives, as one table."""
    precision = evaluation.average_precision
    typer.echo(f"AP@[.5:.95] {precision.ap50_95:.3f}   AP50 {precision.ap50:.3f}   on val")
    typer.echo("score   recall               false detections      FPPI                  images")
    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
        stats = false_detection_stats(
            evaluation.false_detections, threshold, evaluation.num_classes
        )
        cells = [
            _text(evaluation.recall(threshold), "{:.3f}"),
            _text(stats.num_false_detections, "{:.0f}"),
            _text(stats.fppi, "{:.3f}"),
            _text(stats.share_of_images, "{:.1%}"),
        ]
        typer.echo(f"{threshold:.1f}     " + "".join(f"{cell:<22}" for cell in cells))


def _text(interval: Interval, number: str) -> str:
    value, low, high = (number.format(x) for x in (interval.value, interval.low, interval.high))
    return f"{value} ({low}–{high})"


if __name__ == "__main__":
    app()
