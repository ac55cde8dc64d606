"""
Does the demo end as well on another processor? Its trainings again, without the server.

Sums are rounded differently by every number of threads and every set of vector instructions, and a
training ends differently with them. Each row is the demo's own recipe in a process restricted to
some threads and instructions: AP on val, false detections from score 0.5 on sealed scenes, and for
both rounds the change of AP against the serving version, which must not fall below -0.010.

    python -m benchmarks.demo_recipe --seeds 0 1 2 --threads 1 2 --instructions all SSE4.1
"""

import argparse
import inspect
import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from hardneg.cli.demo import demo
from hardneg.demo.data import LABELS, SceneFolders, save_scenes
from hardneg.demo.loop import first_request, mining_request
from hardneg.demo.run import DemoOptions
from hardneg.schemas.recipes import AugmentationChoice
from hardneg.schemas.training_runs import RetrainRequest
from models.data.augmentation import NO_AUGMENTATION
from models.data.coco import CocoReading, read_coco_file
from models.data.datasets import LabelledImage, negatives_in
from models.detectors import Detector, build
from models.evaluation.evaluate import Evaluation, EvaluationImages, compare, evaluate, predict_all
from models.training.config import TrainingConfig
from models.training.loop import train

INSTRUCTIONS = {
    "all": {},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "SSE4.1": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
THRESHOLD = 0.5  # that false detections are counted from, and recall is held at


@dataclass(frozen=True, slots=True)
class Measured:
    """
    A version after a training.

    Attributes:
        ap50_95: on val.
        num_false: detections on the sealed scenes with a score of at least 0.5.
        ap_change: against the version that served until then; 0 for the first.
        fppi_before, fppi: false detections per sealed scene at that version's recall.
        is_promoted: whether it serves from now on.
    """

    ap50_95: float
    num_false: int
    ap_change: float = 0.0
    fppi_before: float | None = None
    fppi: float | None = None
    is_promoted: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """The three versions of one demo, and the processor time that they took."""

    versions: list[Measured]
    cpu_seconds: float


def run_demo_trainings(options: DemoOptions, *, mines: bool) -> Run:
    """Train, mine and retrain as the demo's worker does; without mining, only as many steps."""
    folders = save_scenes(options.folder / "scenes", options.seed, options.counts)
    images = _read_scenes(folders)
    first = RetrainRequest.model_validate(first_request(options.loop))
    rounds = RetrainRequest.model_validate(mining_request(options.loop))
    torch.manual_seed(first.seed)
    assert first.architecture is not None
    detector = build(first.architecture, images.class_names)
    train(detector, images.train, [], (), _config(first))
    serving = evaluate(detector.eval(), images.val, images.sealed)
    versions = [_measured(serving)]
    mined: list[int] = []
    for _ in range(rounds.iterations):
        if mines:
            assert rounds.num_negatives is not None
            mined += _hardest(detector, images.pool, mined)[: rounds.num_negatives]
        negatives = [images.pool[index] for index in mined]
        train(detector, images.train, negatives, (), _config(rounds))
        candidate = evaluate(detector.eval(), images.val, images.sealed)
        versions.append(_compared(candidate, serving, rounds.ap_margin))
        if versions[-1].is_promoted:
            serving = candidate
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Run(versions, usage.ru_utime + usage.ru_stime)


@dataclass(frozen=True, slots=True)
class _Scenes:
    class_names: tuple[str, ...]
    train: tuple[LabelledImage, ...]
    val: tuple[LabelledImage, ...]
    pool: list[LabelledImage]
    sealed: list[LabelledImage]


def _read_scenes(folders: SceneFolders) -> _Scenes:
    train_reading, val_reading = _labelled(folders.train), _labelled(folders.val)
    return _Scenes(
        train_reading.class_names,
        train_reading.images,
        val_reading.images,
        negatives_in(folders.pool),
        negatives_in(folders.sealed),
    )


def _labelled(folder: Path) -> CocoReading:
    return read_coco_file(folder / LABELS)


def _config(request: RetrainRequest) -> TrainingConfig:
    assert request.learning_rate is not None
    assert request.augmentation is AugmentationChoice.NONE
    return TrainingConfig(
        epochs=request.epochs,
        steps_per_epoch=request.steps_per_epoch,
        batch_size=request.batch_size,
        negative_share=request.negative_share,
        learning_rate=request.learning_rate,
        warmup_steps=request.warmup_steps,
        weight_decay=request.weight_decay,
        augmentation=NO_AUGMENTATION,
        seed=request.seed,
    )


def _hardest(detector: Detector, pool: list[LabelledImage], used: list[int]) -> list[int]:
    """Return the pool's images that are not used yet, highest log-odds first."""
    found = predict_all(detector, EvaluationImages(detector, pool))
    keys = [float("-inf") if one.log_odds is None else one.log_odds for one in found]
    order = sorted(range(len(pool)), key=lambda index: -keys[index])
    return [index for index in order if index not in used]


def _measured(evaluation: Evaluation) -> Measured:
    return Measured(evaluation.average_precision.ap50_95, _num_false(evaluation))


def _num_false(evaluation: Evaluation) -> int:
    return sum(int((found.scores >= THRESHOLD).sum()) for found in evaluation.negatives)


def _compared(candidate: Evaluation, serving: Evaluation, ap_margin: float) -> Measured:
    comparison = compare(candidate, serving, threshold=THRESHOLD)
    before, after = comparison.parent.fppi.value, comparison.candidate.fppi.value
    change = comparison.ap50_95_difference.value
    fell = before is not None and after is not None and after < before
    return Measured(
        candidate.average_precision.ap50_95,
        _num_false(candidate),
        change,
        before,
        after,
        fell and change >= -ap_margin,
    )


def _demo_options(folder: Path, seed: int) -> DemoOptions:
    """Return the options of `hardneg demo` as it is called without any."""
    defaults = {name: field.default for name, field in inspect.signature(demo).parameters.items()}
    return DemoOptions(
        folder=folder,
        port=None,
        seed=seed,
        num_steps=defaults["steps"],
        train_size=defaults["train_size"],
        pool_size=defaults["pool_size"],
        starts_over=False,
        exits=True,
    )


def _run_in_a_process(seed: int, threads: int, instructions: str, options: list[str]) -> Run:
    """Both settings are read when torch is loaded, so each needs a process."""
    settings = INSTRUCTIONS[instructions] | {"OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "benchmarks.demo_recipe", "--only", str(seed), *options]
    output = subprocess.run(
        command, env=os.environ | settings, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    row = json.loads(output)
    return Run([Measured(**version) for version in row["versions"]], row["cpu_seconds"])


def _row(seed: int, threads: int, instructions: str, run: Run) -> str:
    cells = [
        instructions,
        str(threads),
        str(seed),
        " → ".join(f"{version.ap50_95:.3f}" for version in run.versions),
        " → ".join(str(version.num_false) for version in run.versions),
        *(f"{version.ap_change:+.3f}" for version in run.versions[1:]),
        ", ".join("promoted" if version.is_promoted else "refused" for version in run.versions[1:]),
        f"{run.cpu_seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--instructions", nargs="+", choices=INSTRUCTIONS, default=["all"])
    parser.add_argument("--folder", type=Path, default=Path("runs/demo-recipe"), help="for scenes")
    parser.add_argument(
        "--without-mining", action="store_true", help="as many steps, and no negatives"
    )
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)  # one seed, in this process
    arguments = parser.parse_args()
    if arguments.only is not None:
        options = _demo_options(arguments.folder, arguments.only)
        run = run_demo_trainings(options, mines=not arguments.without_mining)
        print(json.dumps(asdict(run)))
        return
    print(
        "| instructions | threads | seed | AP@[.5:.95] | false ≥ 0.5 | round 1: AP | round 2: AP | "
        "rounds | processor s |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    passed_on = ["--folder", str(arguments.folder)]
    passed_on += ["--without-mining"] if arguments.without_mining else []
    for instructions in arguments.instructions:
        for threads in arguments.threads:
            for seed in arguments.seeds:
                run = _run_in_a_process(seed, threads, instructions, passed_on)
                print(_row(seed, threads, instructions, run), flush=True)


if __name__ == "__main__":
    main()
