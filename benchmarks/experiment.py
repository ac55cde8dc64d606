"""
Does mining hard negatives help, or is it only more training? And which sampler helps most?

    python -m benchmarks.experiment --pack ../shared/data/raccoon --results results
    python -m benchmarks.experiment --pack ../shared/data/raccoon --results results --samplers
    python -m benchmarks.experiment_report --results results --out docs/explanation/experiments

Every arm of a seed starts from the same baseline and trains the same number of steps in each of
two rounds: `hard` on the pool's worst images by its own detector, `random` on as many random ones,
`control` on no negatives at all. With `--samplers`: `hard` again, with each other anchor sampler.
The sealed negatives_test split is only ever measured on. It goes on where it stopped: a finished
round is a line in results.jsonl, and an unfinished one resumes at its last epoch. Seeds may run in
processes of their own.
"""

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.raccoon import (
    AUGMENTATION,
    BASELINE,
    DEFAULT_PACK,
    build_detector,
    read_split,
)
from models.data.datasets import LabelledImage, negatives_in
from models.detectors import Detector
from models.detectors.checkpoint import load_checkpoint, save_checkpoint
from models.evaluation.evaluate import Evaluation, EvaluationImages, evaluate, predict_all
from models.evaluation.froc import fppi_at_recall
from models.sampling import SamplerName, SamplerSpec, build_sampler
from models.training.config import TrainingConfig
from models.training.loop import train

ARMS = ("hard", "random", "control")
SAMPLER_ARMS = tuple(f"hard, {name}" for name in SamplerName if name != SamplerName.RATIO)
NUM_ROUNDS = 2
NUM_MINED = 60  # images added to the negatives in each round
NEGATIVE_WEIGHT = 9.0  # of background anchors in all arms' rounds; the SSDs' own is 3
ROUND = TrainingConfig(
    epochs=2,
    steps_per_epoch=50,
    learning_rate=1e-3,
    negative_share=0.4,
    warmup_steps=10,
    augmentation=AUGMENTATION,
)
CURVE_THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True, slots=True)
class RoundResult:
    """
    One arm of one seed after one round; round 0 is the baseline that all arms share.

    Attributes:
        arm: `baseline`, one of `ARMS` or one of `SAMPLER_ARMS`.
        ap50_95, ap50: on val.
        recall_50: share of val's objects found at score 0.5.
        false_detections_30, false_detections_50: on negatives_test at scores 0.3 and 0.5.
        fppi_at_baseline_recall: on negatives_test, where val's recall is the baseline's at 0.5;
            None if the recall is out of reach.
        curve: (threshold, recall on val, false detections on negatives_test).
        mined: file names of all negatives trained on so far.
    """

    arm: str
    seed: int
    round: int
    ap50_95: float
    ap50: float
    recall_50: float
    false_detections_30: int
    false_detections_50: int
    fppi_at_baseline_recall: float | None
    curve: tuple[tuple[float, float, int], ...]
    mined: tuple[str, ...]
    duration_s: float


@dataclass(frozen=True, slots=True)
class Images:
    """The splits of the pack."""

    class_names: tuple[str, ...]
    train: tuple[LabelledImage, ...]
    val: tuple[LabelledImage, ...]
    pool: tuple[LabelledImage, ...]
    negatives_test: tuple[LabelledImage, ...]


def run(
    results: Annotated[Path, typer.Option(help="Folder that is written to, and resumed from.")],
    pack: Annotated[Path, typer.Option(help="Folder of the pack.")] = DEFAULT_PACK,
    seeds: Annotated[
        list[int], typer.Option("--seed", min=0, help="May be given again and again.")
    ] = [0, 1, 2, 3],  # noqa: B006  # typer makes a list of its own
    samplers: Annotated[bool, typer.Option(help="Compare samplers, not images.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Train and measure every arm of every seed that is not in the results yet."""
    torch.set_num_threads(threads)
    results.mkdir(parents=True, exist_ok=True)
    images = read_pack(pack)
    for seed in seeds:
        experiment = Experiment(images, results, seed)
        experiment.run_baseline()
        for arm in SAMPLER_ARMS if samplers else ARMS:
            for number in range(1, NUM_ROUNDS + 1):
                experiment.run_round(arm, number)


def read_pack(pack: Path) -> Images:
    labelled, val = read_split(pack, "train"), read_split(pack, "val")
    return Images(
        labelled.class_names,
        labelled.images,
        val.images,
        tuple(negatives_in(pack / "pool")),
        tuple(negatives_in(pack / "negatives_test")),
    )


class Experiment:
    """All arms of one seed; each step is skipped if its result is stored."""

    def __init__(self, images: Images, folder: Path, seed: int) -> None:
        self._images, self._folder, self._seed = images, folder, seed
        self._pool_images: EvaluationImages | None = None

    def run_baseline(self) -> None:
        if self._stored("baseline", 0) is not None:
            return
        torch.manual_seed(self._seed)
        detector = build_detector(self._images.class_names)
        duration_s = self._train(detector, (), BASELINE, "baseline", 0)
        self._finish(detector, "baseline", 0, (), duration_s)

    def run_round(self, arm: str, number: int) -> None:
        if self._stored(arm, number) is not None:
            return
        before = ("baseline", 0) if number == 1 else (arm, number - 1)
        detector = load_checkpoint(self._checkpoint(*before))
        detector.negative_weight = NEGATIVE_WEIGHT
        if arm in SAMPLER_ARMS:
            detector.sampler = build_sampler(SamplerSpec(arm.removeprefix("hard, ")))
        stored = self._stored(*before)
        assert stored is not None, "rounds run in order"
        mined = (*stored.mined, *self._choose(arm, number, detector, stored.mined))
        duration_s = self._train(detector, mined, ROUND, arm, number)
        self._finish(detector, arm, number, mined, duration_s)

    def _choose(
        self, arm: str, number: int, detector: Detector, used: Sequence[str]
    ) -> tuple[str, ...]:
        """Names of the pool images to add, never one that is used already."""
        if arm == "control":
            return ()
        names = [image.name for image in self._images.pool]
        if arm == "random":
            order = np.random.default_rng([self._seed, number]).permutation(len(names)).tolist()
        else:
            if self._pool_images is None:
                self._pool_images = EvaluationImages(detector, self._images.pool)
            found = predict_all(detector, self._pool_images)
            keys = [-np.inf if p.log_odds is None else p.log_odds for p in found]
            order = np.argsort(-np.array(keys), kind="stable").tolist()
        return tuple([names[index] for index in order if names[index] not in used][:NUM_MINED])

    def _train(
        self,
        detector: Detector,
        mined: Sequence[str],
        config: TrainingConfig,
        arm: str,
        number: int,
    ) -> float:
        """Seconds that it took, since the resume if there was one."""
        state = self._state(arm, number)
        negatives = [image for image in self._images.pool if image.name in set(mined)]
        started = time.monotonic()
        train(
            detector,
            self._images.train,
            negatives,
            (),  # every arm keeps its last epoch: nothing is chosen by what is measured
            replace(config, seed=100 * self._seed + number),
            state_path=state,
            resume_from=state if state.exists() else None,
        )
        return time.monotonic() - started

    def _finish(
        self,
        detector: Detector,
        arm: str,
        number: int,
        mined: tuple[str, ...],
        duration_s: float,
    ) -> None:
        save_checkpoint(detector, self._checkpoint(arm, number))
        evaluation = evaluate(detector.eval(), self._images.val, self._images.negatives_test)
        if arm == "baseline":
            recall = evaluation.recall(0.5).value
        else:
            baseline = self._stored("baseline", 0)
            assert baseline is not None, "the baseline runs first"
            recall = baseline.recall_50
        result = summarise(evaluation, recall, arm, self._seed, number, mined, duration_s)
        with results_file(self._folder).open("a") as file:
            file.write(json.dumps(dataclasses.asdict(result)) + "\n")
        self._state(arm, number).unlink()
        typer.echo(
            f"seed {self._seed} {arm:<27} round {number}: AP@[.5:.95] {result.ap50_95:.3f}  "
            f"AP50 {result.ap50:.3f}  false detections at 0.5 {result.false_detections_50}, "
            f"at 0.3 {result.false_detections_30}  {duration_s:.0f} s"
        )

    def _state(self, arm: str, number: int) -> Path:
        return self._folder / f"{_file_name(arm)}-{self._seed}-{number}.state"

    def _checkpoint(self, arm: str, number: int) -> Path:
        return self._folder / f"{_file_name(arm)}-{self._seed}-{number}.safetensors"

    def _stored(self, arm: str, number: int) -> RoundResult | None:
        key = (arm, self._seed, number)
        found = (r for r in read_results(self._folder) if (r.arm, r.seed, r.round) == key)
        return next(found, None)


def summarise(
    evaluation: Evaluation,
    baseline_recall: float,
    arm: str,
    seed: int,
    number: int,
    mined: tuple[str, ...],
    duration_s: float,
) -> RoundResult:
    false = evaluation.false_detections
    fppi = None
    if baseline_recall > 0:
        price = fppi_at_recall(evaluation.matches, false, baseline_recall)
        fppi = None if np.isnan(price.threshold) else price.fppi.value
    return RoundResult(
        arm=arm,
        seed=seed,
        round=number,
        ap50_95=evaluation.average_precision.ap50_95,
        ap50=evaluation.average_precision.ap50,
        recall_50=evaluation.recall(0.5).value,
        false_detections_30=int((false.scores >= 0.3).sum()),
        false_detections_50=int((false.scores >= 0.5).sum()),
        fppi_at_baseline_recall=fppi,
        curve=tuple(
            (threshold, evaluation.recall(threshold).value, int((false.scores >= threshold).sum()))
            for threshold in CURVE_THRESHOLDS
        ),
        mined=mined,
        duration_s=duration_s,
    )


def _file_name(arm: str) -> str:
    return arm.replace(", ", "-")


def results_file(folder: Path) -> Path:
    return folder / "results.jsonl"


def read_results(folder: Path) -> list[RoundResult]:
    """All finished rounds; a line that was cut off when the run was killed is left out."""
    path = results_file(folder)
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [_result(json.loads(line)) for line in lines if line.endswith("\n")]


def _result(row: dict[str, Any]) -> RoundResult:
    curve = tuple((threshold, recall, count) for threshold, recall, count in row["curve"])
    return RoundResult(**{**row, "curve": curve, "mined": tuple(row["mined"])})


if __name__ == "__main__":
    typer.run(run)
