"""
Which images teach most, and which settings? One round of training for each, from one baseline.

    python -m benchmarks.recipes --results runs/recipes
    python -m benchmarks.recipes --results runs/recipes-cones --pack ../shared/data/cones

The first arms differ in how 60 images of the pool are chosen: `hard` takes the hardest, `families`
the hardest of each family of look-alikes in turn, `random` any. The others take the hardest and
differ in their settings: `old defaults` and `new defaults` are those of `POST /retrain` before and
as proposed.

No arm mines from a fifth of the pool, which `service/training_runs/kept_aside.py` names. Settings
are to be judged on val and that fifth; the sealed images show afterwards if it was right. A
finished training is a line in results.jsonl, and an unfinished one resumes at its last epoch.
"""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.experiment import NEGATIVE_WEIGHT, NUM_MINED, ROUND
from benchmarks.holding import PoolImage, View
from benchmarks.raccoon import BASELINE, DEFAULT_PACK, build_detector, read_split
from models.data.augmentation import Augmentation
from models.data.datasets import LabelledImage, negatives_in
from models.detectors import Detector
from models.detectors.checkpoint import load_checkpoint, save_checkpoint
from models.evaluation.around_recall import Version
from models.evaluation.evaluate import EvaluationImages, evaluate, predict_all
from models.evaluation.mean_at_recalls import mean_false_detections
from models.regions.families import group
from models.regions.network import RegionNetwork
from models.training.config import TrainingConfig
from models.training.loop import train
from service.training_runs.kept_aside import is_kept_aside
from service.training_runs.look_alikes import num_to_group, take_turns


@dataclass(frozen=True, slots=True)
class Arm:
    """
    A way to choose negatives, and to train with them.

    Attributes:
        choice: `hard`, `families` or `random`.
        num_mined: images of the pool.
        weight: of background anchors in the loss.
        config: without its seed.
        chooses_epoch: whether val chooses the best epoch, as the service does.
    """

    choice: str
    num_mined: int
    weight: float
    config: TrainingConfig
    chooses_epoch: bool = False


def _defaults(epochs: int, rate: float) -> TrainingConfig:
    """Return settings of `POST /retrain`; 13 steps of 16 show the pack's 134 images once."""
    return TrainingConfig(
        epochs=epochs,
        learning_rate=rate,
        negative_share=0.3,
        augmentation=Augmentation(),
    )


ARMS = {
    "families": Arm("families", NUM_MINED, NEGATIVE_WEIGHT, ROUND),
    "hard": Arm("hard", NUM_MINED, NEGATIVE_WEIGHT, ROUND),
    "new defaults": Arm("hard", 60, 3.0, _defaults(8, 1e-3), chooses_epoch=True),
    "old defaults": Arm("hard", 20, 3.0, _defaults(10, 5e-4), chooses_epoch=True),
    "random": Arm("random", NUM_MINED, NEGATIVE_WEIGHT, ROUND),
}
PAIRS = (("families", "hard"), ("hard", "random"), ("new defaults", "old defaults"))


@dataclass(frozen=True, slots=True)
class Result:
    """
    One training; the baseline has arm `baseline` and seed 0.

    Attributes:
        recall_50: share of val's objects found at score 0.5.
        false_50: false detections on the sealed images at score 0.5.
        mean_false: mean false detections on them, at the recall on val of the baseline at 0.5 and
            those of one to four objects fewer; NaN if the first is out of reach.
        kept_false_50, kept_mean_false: the same on the fifth of the pool that is never mined.
        mined: names of the images.
    """

    arm: str
    seed: int
    ap50_95: float
    ap50: float
    recall_50: float
    false_50: int
    mean_false: float
    kept_false_50: int
    kept_mean_false: float
    mined: tuple[str, ...]
    duration_s: float


def run(
    results: Annotated[Path, typer.Option(help="Folder that is written to, and resumed from.")],
    pack: Annotated[Path, typer.Option(help="Folder of the pack.")] = DEFAULT_PACK,
    arms: Annotated[
        list[str], typer.Option("--arm", help="One of the arms; all by default.")
    ] = list(ARMS),  # noqa: B006  # typer makes a list of its own
    seeds: Annotated[
        list[int], typer.Option("--seed", min=0, help="May be given again and again.")
    ] = [0, 1, 2],  # noqa: B006
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Train and measure every arm of every seed that is not in the results yet, then print all."""
    torch.set_num_threads(threads)
    results.mkdir(parents=True, exist_ok=True)
    trial = Trial(pack, results)
    trial.run_baseline()
    for seed in seeds:
        for name in arms:
            trial.run(name, seed)
    found = read_results(results)
    typer.echo(f"{table(found)}\n\n{differences(found)}")


class Trial:
    """A pack, its baseline, and the trainings that start from it."""

    def __init__(self, pack: Path, folder: Path) -> None:
        self._folder = folder
        labelled = read_split(pack, "train")
        self._class_names, self._labelled = labelled.class_names, labelled.images
        self._val = read_split(pack, "val").images
        self._sealed = negatives_in(pack / "negatives_test")
        pool = negatives_in(pack / "pool")
        aside = [is_kept_aside(sha256(image.read()).hexdigest()) for image in pool]
        self._kept = [image for image, kept in zip(pool, aside, strict=True) if kept]
        self._pool = [image for image, kept in zip(pool, aside, strict=True) if not kept]
        self._baseline = folder / "baseline.safetensors"

    def run_baseline(self) -> None:
        if self._stored("baseline", 0) is not None:
            return
        torch.manual_seed(0)
        detector = build_detector(self._class_names)
        self._finish(detector, "baseline", 0, (), self._train(detector, "baseline", BASELINE, []))

    def run(self, name: str, seed: int) -> None:
        """Choose, train and measure, unless the result is stored."""
        if self._stored(name, seed) is not None:
            return
        arm = ARMS[name]
        detector = load_checkpoint(self._baseline)
        mined = set(self._choose(detector, arm, seed))
        detector.negative_weight = arm.weight
        duration_s = self._train(
            detector,
            f"{name.replace(' ', '-')}-{seed}",
            replace(arm.config, seed=100 + seed),
            [image for image in self._pool if image.name in mined],
            self._val if arm.chooses_epoch else (),
        )
        self._finish(detector, name, seed, tuple(sorted(mined)), duration_s)

    def _choose(self, detector: Detector, arm: Arm, seed: int) -> list[str]:
        if arm.choice == "random":
            order = np.random.default_rng([seed, 1]).permutation(len(self._pool))[: arm.num_mined]
            return [self._pool[index].name for index in order]
        ranked = self._ranking(detector)
        if arm.choice == "families":
            seen = self._see(detector, ranked[: num_to_group(arm.num_mined)])
            families = group(np.concatenate([image.vectors[:1] for image in seen]))
            ranked = [seen[index].name for index in take_turns(families.tolist())]
        return ranked[: arm.num_mined]

    def _ranking(self, detector: Detector) -> list[str]:
        """Rank the pool by the baseline, worst first."""

        def compute() -> list[str]:
            found = predict_all(detector.eval(), EvaluationImages(detector, self._pool))
            keys = [-np.inf if p.log_odds is None else p.log_odds for p in found]
            return [self._pool[k].name for k in np.argsort(-np.array(keys), kind="stable")]

        ranked: list[str] = self._once("ranking.pt", compute)
        return ranked

    def _see(self, detector: Detector, names: Sequence[str]) -> list[PoolImage]:
        """Describe the best detections of images, as far as they have any."""

        def compute() -> list[PoolImage]:
            files = {image.name: image for image in self._pool}
            view = View(detector.eval(), RegionNetwork())
            return list(view.detected([files[name] for name in names]))

        seen: list[PoolImage] = self._once("seen.pt", compute)
        return seen

    def _once(self, name: str, compute: Callable[[], Any]) -> Any:
        path = self._folder / name
        if not path.exists():
            torch.save(compute(), path)
        return torch.load(path, weights_only=False)

    def _train(
        self,
        detector: Detector,
        name: str,
        config: TrainingConfig,
        negatives: Sequence[LabelledImage],
        val: Sequence[LabelledImage] = (),
    ) -> float:
        """Train, save the checkpoint, and return the seconds since the start or the resume."""
        state = self._folder / f"{name}.state"
        started = time.monotonic()
        train(
            detector,
            self._labelled,
            negatives,
            val,
            config,
            state_path=state,
            resume_from=state if state.exists() else None,
        )
        save_checkpoint(detector.eval(), self._folder / f"{name}.safetensors")
        state.unlink()
        return time.monotonic() - started

    def _finish(
        self, detector: Detector, arm: str, seed: int, mined: tuple[str, ...], duration_s: float
    ) -> None:
        found = evaluate(detector.eval(), self._val, [*self._sealed, *self._kept])
        sealed = replace(found, negatives=found.negatives[: len(self._sealed)]).false_detections
        kept = replace(found, negatives=found.negatives[len(self._sealed) :]).false_detections
        num_objects = int(found.matches.num_objects.sum())
        baseline = self._stored("baseline", 0)
        recall = baseline.recall_50 if baseline else found.recall(0.5).value
        wanted = round(recall * num_objects)
        result = Result(
            arm,
            seed,
            ap50_95=found.average_precision.ap50_95,
            ap50=found.average_precision.ap50,
            recall_50=found.recall(0.5).value,
            false_50=int((sealed.scores >= 0.5).sum()),
            mean_false=mean_false_detections(Version(found.matches, sealed), wanted),
            kept_false_50=int((kept.scores >= 0.5).sum()),
            kept_mean_false=mean_false_detections(Version(found.matches, kept), wanted),
            mined=mined,
            duration_s=duration_s,
        )
        with (self._folder / "results.jsonl").open("a") as file:
            file.write(json.dumps(dataclasses.asdict(result)) + "\n")
        typer.echo(_row(result))

    def _stored(self, arm: str, seed: int) -> Result | None:
        found = read_results(self._folder)
        return next((r for r in found if (r.arm, r.seed) == (arm, seed)), None)


def read_results(folder: Path) -> list[Result]:
    path = folder / "results.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("\n")]
    return [Result(**{**row, "mined": tuple(row["mined"])}) for row in rows]


def table(results: Sequence[Result]) -> str:
    """Format one row for each training, by arm and seed."""
    heading = (
        "| arm | seed | AP@[.5:.95] | AP50 | recall at 0.5 | FD at 0.5, kept | mFD, kept "
        "| FD at 0.5, sealed | mFD, sealed |"
    )
    order = ["baseline", *ARMS]
    ordered = sorted(results, key=lambda r: (order.index(r.arm), r.seed))
    return "\n".join([heading, "| --- " * 9 + "|", *map(_row, ordered)])


def _row(result: Result) -> str:
    return (
        f"| {result.arm} | {result.seed} | {result.ap50_95:.3f} | {result.ap50:.3f} "
        f"| {result.recall_50:.3f} | {result.kept_false_50} | {_number(result.kept_mean_false)} "
        f"| {result.false_50} | {_number(result.mean_false)} |"
    )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def differences(results: Sequence[Result]) -> str:
    """Format the differences between arms that share their seeds, and their means."""
    heading = "| arms | seed | AP@[.5:.95] | mFD, kept | mFD, sealed |"
    rows = [heading, "| --- " * 5 + "|"]
    for first, second in PAIRS:
        found = {(r.arm, r.seed): r for r in results}
        seeds = [r.seed for r in results if r.arm == first and (second, r.seed) in found]
        changes = [_change(found[first, seed], found[second, seed]) for seed in sorted(seeds)]
        rows += [
            f"| {first} − {second} | {seed} | {ap:+.3f} | {kept:+.1f} | {sealed:+.1f} |"
            for seed, (ap, kept, sealed) in zip(sorted(seeds), changes, strict=True)
        ]
        if len(changes) > 1:
            mean, spread = np.mean(changes, axis=0), np.std(changes, axis=0, ddof=1)
            cells = [f"{mean[0]:+.3f} ± {spread[0]:.3f}"]
            cells += [f"{mean[k]:+.1f} ± {spread[k]:.1f}" for k in (1, 2)]
            rows.append(f"| {first} − {second} | mean ± deviation | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _change(first: Result, second: Result) -> tuple[float, float, float]:
    return (
        first.ap50_95 - second.ap50_95,
        first.kept_mean_false - second.kept_mean_false,
        first.mean_false - second.mean_false,
    )


if __name__ == "__main__":
    typer.run(run)
