"""
Do true objects in a pool harm a retrained detector, and does holding them back prevent it?

    python -m benchmarks.holding_training --results runs/holding-training

It trains a detector on part of the pack's labelled images, hides the rest in the pool without their
boxes, mines the 60 hardest images in three ways, and trains one round on each:

- `off`: holds nothing;
- `auto`: holds by the rule, as the service does by default;
- `removed`: takes every image with an object out, as a person who looked at all of them would.

Val is not hidden, and the sealed images are only measured on. A finished training is a line in
results.jsonl; the command goes on where it stopped.
"""

import dataclasses
import json
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.experiment import NEGATIVE_WEIGHT, NUM_MINED, ROUND
from benchmarks.holding import PoolImage, Seen, decisions_of, fit_rule, inject, see, set_aside
from benchmarks.raccoon import DEFAULT_PACK, read_split
from models.data.datasets import LabelledImage, negatives_in
from models.detectors.checkpoint import load_checkpoint
from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.froc import fppi_at_recall
from models.training.loop import train

ARMS = ("off", "auto", "removed")
NUM_RECALLS = 5  # of the mean: the baseline's, and those of one to four objects fewer


@dataclass(frozen=True, slots=True)
class ArmResult:
    """
    One training; the baseline has arm `baseline` and seed 0.

    Attributes:
        share: of images with objects in the pool.
        num_objects: images with objects among those that were mined.
        num_held: images held before the list was full.
        false_detections: on the sealed images at score 0.5.
        at_recall: false detections on them where the recall on val is the baseline's at 0.5.
        mean_at_recalls: their mean over that recall and those of one to four objects fewer; NaN if
            the baseline's is out of reach.
    """

    arm: str
    share: float
    seed: int
    num_mined: int
    num_objects: int
    num_held: int
    ap50_95: float
    ap50: float
    recall_50: float
    false_detections: int
    at_recall: float
    mean_at_recalls: float
    duration_s: float


def run(
    results: Annotated[Path, typer.Option(help="Folder that is written to, and resumed from.")],
    pack: Annotated[Path, typer.Option(help="Folder of the pack.")] = DEFAULT_PACK,
    shares: Annotated[
        list[float], typer.Option("--share", min=0, max=0.9, help="Of objects in the pool.")
    ] = [0.0, 0.15, 0.5, 0.05],  # noqa: B006  # typer makes a list of its own
    aside: Annotated[int, typer.Option(min=1, help="Images of train to hide in the pool.")] = 64,
    seeds: Annotated[
        list[int], typer.Option("--seed", min=0, help="May be given again and again.")
    ] = [0, 1, 2],  # noqa: B006
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Train and measure every arm that is not in the results yet, then print all."""
    torch.set_num_threads(threads)
    results.mkdir(parents=True, exist_ok=True)
    trial = Trial(pack, results, aside)
    trial.measure_baseline()
    for seed in seeds:
        for share in shares:
            for arm in ARMS:
                if share > 0 or arm != "removed":  # nothing to remove
                    trial.run(arm, share, seed)
    typer.echo(table(read_results(results)))


class Trial:
    """A pack, its baseline, and the trainings that start from it."""

    def __init__(self, pack: Path, folder: Path, aside: int) -> None:
        self._folder = folder
        self._seen: Seen = see(pack, folder, aside, None, hides_val=False)
        self._baseline = folder / f"{pack.name}.safetensors"
        self._labelled, hidden = set_aside(read_split(pack, "train").images, aside)
        pool = negatives_in(pack / "pool")
        pool += [LabelledImage.negative(image.name, image.read) for image in hidden]
        self._files = {image.name: image for image in pool}
        self._val = read_split(pack, "val").images
        self._sealed = negatives_in(pack / "negatives_test")

    def measure_baseline(self) -> None:
        if self._stored("baseline", 0.0, 0) is None:
            detector = load_checkpoint(self._baseline)
            found = evaluate(detector.eval(), self._val, self._sealed)
            recall = found.recall(0.5).value
            self._add(_result("baseline", 0.0, 0, (0, 0, 0), found, recall, 0.0))

    def run(self, arm: str, share: float, seed: int) -> None:
        """Mine, train and measure, unless the result is stored."""
        if self._stored(arm, share, seed) is not None:
            return
        mined, counts = self._mine(arm, share, seed)
        detector = load_checkpoint(self._baseline)
        detector.negative_weight = NEGATIVE_WEIGHT
        started = time.monotonic()
        negatives = [self._files[image.name] for image in mined]
        train(detector, self._labelled, negatives, (), replace(ROUND, seed=100 + seed))
        duration_s = time.monotonic() - started
        found = evaluate(detector.eval(), self._val, self._sealed)
        baseline = self._stored("baseline", 0.0, 0)
        assert baseline is not None, "the baseline is measured first"
        self._add(_result(arm, share, seed, counts, found, baseline.recall_50, duration_s))

    def _mine(
        self, arm: str, share: float, seed: int
    ) -> tuple[list[PoolImage], tuple[int, int, int]]:
        """Return the images to train on; how many, how many with objects, and how many held."""
        ranked = inject(self._seen, share, random.Random(seed))
        images = [image for image, _ in ranked]
        is_object = np.array([with_object for _, with_object in ranked])
        is_free = np.ones(len(images), dtype=bool)
        if arm == "auto":
            rule = fit_rule(self._seen.objects, images)
            if rule.trust.is_trusted:
                is_free = decisions_of(rule, images) <= 0
        elif arm == "removed":
            is_free = ~is_object
        mined = np.flatnonzero(is_free)[:NUM_MINED]
        num_held = int((~is_free[: mined[-1] + 1]).sum())
        counts = (len(mined), int(is_object[mined].sum()), num_held)
        return [images[index] for index in mined], counts

    def _add(self, result: ArmResult) -> None:
        with (self._folder / "results.jsonl").open("a") as file:
            file.write(json.dumps(dataclasses.asdict(result)) + "\n")
        typer.echo(_row(result))

    def _stored(self, arm: str, share: float, seed: int) -> ArmResult | None:
        key = (arm, share, seed)
        found = read_results(self._folder)
        return next((r for r in found if (r.arm, r.share, r.seed) == key), None)


def _result(
    arm: str,
    share: float,
    seed: int,
    counts: tuple[int, int, int],
    found: Evaluation,
    recall: float,
    duration_s: float,
) -> ArmResult:
    num_objects = int(found.matches.num_objects.sum())
    recalls = [recall - fewer / num_objects for fewer in range(NUM_RECALLS)]
    false = found.false_detections
    prices = [fppi_at_recall(found.matches, false, r).fppi.value for r in recalls]
    return ArmResult(
        arm,
        share,
        seed,
        *counts,
        ap50_95=found.average_precision.ap50_95,
        ap50=found.average_precision.ap50,
        recall_50=found.recall(0.5).value,
        false_detections=int((false.scores >= 0.5).sum()),
        at_recall=prices[0] * false.num_images,
        mean_at_recalls=float(np.mean(prices)) * false.num_images,
        duration_s=duration_s,
    )


def read_results(folder: Path) -> list[ArmResult]:
    path = folder / "results.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("\n")]
    return [ArmResult(**row) for row in rows]


def table(results: list[ArmResult]) -> str:
    """Format one row for each training, by share and arm."""
    heading = (
        "| objects | hold | seed | mined | with objects | held | AP@[.5:.95] | recall at 0.5 "
        "| FD at 0.5 | FD at the baseline's recall | mFD |"
    )
    ordered = sorted(results, key=lambda r: (r.arm != "baseline", r.share, r.arm, r.seed))
    return "\n".join([heading, "| --- " * 11 + "|", *map(_row, ordered)])


def _row(result: ArmResult) -> str:
    return (
        f"| {result.share:.0%} | {result.arm} | {result.seed} | {result.num_mined} "
        f"| {result.num_objects} | {result.num_held} | {result.ap50_95:.3f} "
        f"| {result.recall_50:.3f} | {result.false_detections} | {result.at_recall:.0f} "
        f"| {result.mean_at_recalls:.1f} |"
    )


if __name__ == "__main__":
    typer.run(run)
