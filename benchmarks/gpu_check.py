"""
Everything that runs differently on a GPU: is it right, and how fast is it?

Each check compares the GPU with the same computation on the CPU, or with a plainer way on the GPU.
Networks have random weights, calibrated so that their scores spread; pictures are drawn here. So it
needs no data, no download, no service and no database. With `--device cpu` the same code runs on
the CPU as far as that means something. All results go to one JSON file; the exit status is 1 if a
check fails, and 2 on a machine without CUDA.

    python -m benchmarks.gpu_check [--short] [--device cpu]
"""

import argparse
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from benchmarks.gpu_throughput import throughput
from benchmarks.pictures import jpegs
from benchmarks.scenes import calibrated, pool
from benchmarks.timing import compare
from models.data.datasets import LabelledImage
from models.data.ground_truth import GroundTruth
from models.detectors import ARCHITECTURES, Detector, build
from models.detectors.detections import Detections
from models.inference.batch_size import CPU_BATCH, LARGEST_GPU_BATCH, fastest_batch_size
from models.inference.device import select_device
from models.inference.fused import fuse
from models.inference.predict import Prediction, predict
from models.inference.streams import own_stream, settle
from models.inference.trial import try_bfloat16
from models.training.batches import plan_batches
from models.training.config import TrainingConfig
from models.training.loop import train
from models.training.reports import TrainingResult
from models.training.run import RunningTraining
from service.metrics import Metrics
from service.scoring.engine import RESCAN, InferenceEngine, LoadedVersion
from service.scoring.screen import has_bfloat16

NUM_CLASSES = 5
SHORT = ("ssd_small", "ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn")
MAX_ERROR = 0.02  # in log-odds; TF32 would exceed it
MIN_SCORE = 0.3  # of boxes that must be found again


class NotTriedError(Exception):
    """A check that this machine cannot run; the text says why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The device to check, and whether to be short."""

    device: torch.device
    short: bool

    @property
    def architectures(self) -> Sequence[str]:
        return SHORT if self.short else ARCHITECTURES

    def require_cuda(self) -> None:
        if self.device.type != "cuda":
            raise NotTriedError("only CUDA has it")

    def on_device(self, detector: Detector) -> Detector:
        moved = fuse(deepcopy(detector).to(self.device))
        settle(self.device)
        return moved


Numbers = dict[str, Any]
Check = Callable[[Setup], Numbers]


def scores_equal_those_of_the_cpu(setup: Setup) -> Numbers:
    """Score by every detector family in float32 and in bfloat16."""
    found: Numbers = {}
    for architecture in setup.architectures:
        images = pool(4 if setup.short else 8, NUM_CLASSES)
        detector = calibrated(architecture, NUM_CLASSES, images)
        prepared = [detector.preprocess(image) for image in images]
        expected = [predict(detector, [image])[0] for image in prepared]
        moved = setup.on_device(detector)
        together = predict(moved, prepared)
        error = _largest_error(together, expected)
        found[architecture] = {
            "error": error,
            "boxes_found": _share_found(together, expected),
            "bfloat16": try_bfloat16(moved)._asdict() if has_bfloat16(setup.device) else None,
        }
        if not error <= MAX_ERROR or found[architecture]["boxes_found"] < 1:
            raise AssertionError(f"{architecture}: {found[architecture]}")
    return found


def threads_with_streams_get_what_one_gets(setup: Setup) -> Numbers:
    """Score in several threads at once, each in its own stream, from pinned memory."""
    images = pool(16, NUM_CLASSES)
    detector = setup.on_device(calibrated(SHORT[1], NUM_CLASSES, images))
    expected = [predict(detector, [detector.preprocess(image)])[0] for image in images]
    repeats = 2 if setup.short else 20

    def score(start: int) -> list[Prediction]:
        with own_stream(detector.device):
            batch = [detector.preprocess(image) for image in images[start : start + 4]]
            return predict(detector, batch)

    errors = []
    with ThreadPoolExecutor(4) as threads:
        for _ in range(repeats):
            found = [each for batch in threads.map(score, range(0, 16, 4)) for each in batch]
            errors.append(_largest_error(found, expected))
    if not max(errors) <= MAX_ERROR:
        raise AssertionError(f"scores differ between threads by {max(errors)}")
    return {"error": max(errors), "batches": 4 * repeats}


def pinned_copies_are_whole(setup: Setup) -> Numbers:
    """Collate batches without waiting, and compare each with what the CPU makes of it."""
    images = pool(16, NUM_CLASSES)
    detector = build(SHORT[1], ["a"]).eval()
    moved = deepcopy(detector).to(setup.device)
    settle(setup.device)
    prepared = [detector.preprocess(image) for image in images]
    with own_stream(moved.device):
        batches = [moved.collate(prepared).tensors for _ in range(8)]
        found = [batch.cpu() for batch in batches]
    expected = detector.collate(prepared).tensors
    error = max(float((batch - expected).abs().max()) for batch in found)
    if not error <= 1e-5:
        raise AssertionError(f"pixels differ by {error}")
    return {"error": error}


def batch_size_is_searched(setup: Setup) -> Numbers:
    """Find the fastest batch of each family, as when a version is loaded."""
    largest = LARGEST_GPU_BATCH if setup.device.type == "cuda" else CPU_BATCH
    found: Numbers = {}
    for architecture in setup.architectures:
        detector = setup.on_device(build(architecture, ["a"]))
        started = time.perf_counter()
        size = fastest_batch_size(detector, largest)
        found[architecture] = {"size": size, "seconds": time.perf_counter() - started}
    return found


def too_large_batches_are_halved(setup: Setup) -> Numbers:
    """Let the engine score a batch that does not fit into the GPU's memory."""
    setup.require_cuda()
    images = pool(64, NUM_CLASSES)
    detector = setup.on_device(calibrated("ssd300_vgg16", NUM_CLASSES, images[:4]))
    prepared = [detector.preprocess(image) for image in images]
    expected = [predict(detector, [image])[0] for image in prepared]
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(setup.device).total_memory
    allowed = torch.cuda.memory_reserved(setup.device) + 1024**3
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), setup.device)
    try:
        engine = InferenceEngine(0.1, Metrics())
        loaded = LoadedVersion(1, "large", detector, batch_size=len(prepared))
        futures = [engine.submit(loaded, image, priority=RESCAN) for image in prepared]
        found = [future.result() for future in futures]
        engine.close()
        searched = fastest_batch_size(detector, LARGEST_GPU_BATCH)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, setup.device)
    failures = torch.cuda.memory_stats(setup.device)["num_ooms"]
    error = _largest_error(found, expected)
    if not failures or not error <= MAX_ERROR:
        raise AssertionError(f"{failures} batches did not fit, and scores differ by {error}")
    return {"out_of_memory": failures, "error": error, "largest_that_fits": searched}


def training_learns(setup: Setup) -> Numbers:
    """Train a small detector until its loss has fallen, in mixed precision on CUDA."""
    result, seconds = _trained(build("ssd_small", ["square"]).to(setup.device), num_steps=20)
    first, last = (sum(report.losses.values()) for report in result.history)
    if not last < first:
        raise AssertionError(f"the loss went from {first} to {last}")
    return {"losses": [first, last], "seconds_per_step": seconds / 40}


def every_family_trains(setup: Setup) -> Numbers:
    """Take steps with every family, also on images without objects, and resume from its state."""
    found: Numbers = {}
    num_steps = 1 if setup.short else 10
    for architecture in setup.architectures:
        torch.manual_seed(0)
        detector = build(architecture, ["square"]).to(setup.device)
        result, seconds = _trained(detector, num_steps)
        found[architecture] = {
            "losses": [sum(report.losses.values()) for report in result.history],
            "seconds_per_step": seconds / result.history[-1].step,
            "amp": _amp(detector),
        }
    return found


def _trained(detector: Detector, num_steps: int) -> tuple[TrainingResult, float]:
    """Train two epochs of so many steps, and return how it went and in which time."""
    labelled, negatives = _labelled(8), _labelled(4, with_objects=False)
    config = TrainingConfig(
        epochs=2, steps_per_epoch=num_steps, batch_size=4, warmup_steps=2, learning_rate=5e-4
    )
    with TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        started = time.perf_counter()
        result = train(detector, labelled, negatives, labelled[:2], config, state_path=state)
        seconds = time.perf_counter() - started
        again = train(detector, labelled, negatives, labelled[:2], config, resume_from=state)
    if again.history != result.history:
        raise AssertionError("a training that resumes has lost its history")
    return result, seconds


def onnx_scores_equal_those_of_the_cpu(setup: Setup) -> Numbers:
    """Score an ONNX file by ONNX Runtime, with CUDA where its build has it."""
    if find_spec("onnxruntime") is None:
        raise NotTriedError("ONNX Runtime is not installed")
    import onnxruntime

    try:
        from benchmarks.foreign import export_ssdlite
    except ImportError as missing:  # of the packages with which its tests write files
        raise NotTriedError(str(missing)) from missing
    from models.detectors.foreign.detector import ForeignDetector
    from models.detectors.foreign.runtime import OnnxRuntimeNetwork

    if setup.device.type == "cuda" and not _has_cuda(onnxruntime.get_available_providers()):
        raise NotTriedError("this ONNX Runtime has no CUDA: install onnxruntime-gpu")
    images = pool(8, NUM_CLASSES)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "detector.onnx"
        spec = export_ssdlite(calibrated(SHORT[1], NUM_CLASSES, images), path)
        here, there = (
            ForeignDetector(spec, OnnxRuntimeNetwork(path, device))
            for device in ("cpu", str(setup.device))
        )
    prepared = [here.preprocess(image) for image in images]
    error = _largest_error(predict(there, prepared), predict(here, prepared))
    if not error <= MAX_ERROR:
        raise AssertionError(f"scores differ by {error}")
    timing = compare(partial(predict, there, prepared), partial(predict, here, prepared), 3)
    return {"error": error, "times_as_fast_as_the_cpu": timing.ratio}


def _labelled(count: int, *, with_objects: bool = True) -> list[LabelledImage]:
    """Return pictures as JPEGs, each with a box in its middle as its object, or with none."""
    truth = GroundTruth(torch.tensor([[200.0, 150.0, 440.0, 330.0]]), torch.tensor([1]))
    return [
        LabelledImage(str(number), data.__bytes__, truth if with_objects else GroundTruth.empty())
        for number, data in enumerate(jpegs(count, NUM_CLASSES))
    ]


def _amp(detector: Detector) -> str:
    """Return the type that a training of this detector computes in."""
    plan = plan_batches(1, 0, batch_size=1, negative_share=0.0, seed=0)
    return str(RunningTraining(detector, _labelled(1), plan, TrainingConfig()).amp_dtype)


def _has_cuda(providers: Sequence[str]) -> bool:
    return "CUDAExecutionProvider" in providers


def _largest_error(found: Sequence[Prediction], expected: Sequence[Prediction]) -> float:
    """Return the largest difference in log-odds; NaN if a score is missing."""
    pairs = zip(found, expected, strict=True)
    nan = float("nan")
    return float(np.max([abs((a.log_odds or nan) - (b.log_odds or nan)) for a, b in pairs]))


def _share_found(found: Sequence[Prediction], expected: Sequence[Prediction]) -> float:
    """Return the share of clear boxes that the other side has with the same class and place."""
    seen = [
        _is_found(box, label, ours.detections)
        for ours, theirs in zip(found, expected, strict=True)
        for box, score, label in zip(
            theirs.detections.boxes, theirs.detections.scores, theirs.detections.labels, strict=True
        )
        if score > MIN_SCORE
    ]
    return float(np.mean(seen)) if seen else 1.0


def _is_found(box: Tensor, label: Tensor, detections: Detections) -> bool:
    boxes = detections.boxes[detections.labels == label]
    return len(boxes) > 0 and float(box_iou(box[None], boxes).max()) > 0.95


def throughput_beside_the_notebook(setup: Setup) -> Numbers:
    """Score images in memory and JPEGs, beside the notebook's loop on the same device."""
    return throughput(setup.device, short=setup.short)


CHECKS: Sequence[Check] = (
    scores_equal_those_of_the_cpu,
    threads_with_streams_get_what_one_gets,
    pinned_copies_are_whole,
    batch_size_is_searched,
    too_large_batches_are_halved,
    training_learns,
    every_family_trains,
    onnx_scores_equal_those_of_the_cpu,
    throughput_beside_the_notebook,
)


def run(check: Check, setup: Setup) -> Numbers:
    """Run a check, print how it ended, and return that with its numbers."""
    started = time.perf_counter()
    result: Numbers = {"check": check.__name__.replace("_", " ")}
    try:
        result |= {"status": "ok", "numbers": check(setup)}
    except NotTriedError as reason:
        result |= {"status": "not tried", "reason": str(reason)}
    except Exception as error:
        traceback.print_exc()
        result |= {"status": "FAILED", "reason": f"{type(error).__name__}: {error}"}
    result["seconds"] = round(time.perf_counter() - started, 1)
    print(f"{result['status']:>9}  {result['check']} ({result['seconds']} s)", flush=True)
    return result


def machine(device: torch.device) -> Numbers:
    is_cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if is_cuda else platform.machine(),
        "cuda": torch.version.cuda if is_cuda else None,
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu (default cuda)")
    parser.add_argument("--short", action="store_true", help="three families and few images")
    parser.add_argument("--only", default="", help="checks whose names have this word")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-check.json"))
    arguments = parser.parse_args()
    if arguments.device != "cpu" and not torch.cuda.is_available():
        print(
            "gpu_check: this torch sees no CUDA device, so nothing was checked. Run it on a "
            "machine with an NVIDIA GPU, or try the checks themselves with --device cpu.",
            file=sys.stderr,
        )
        raise SystemExit(2)
    setup = Setup(select_device(arguments.device), arguments.short)
    results = [run(check, setup) for check in CHECKS if arguments.only in check.__name__]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    report = {**machine(setup.device), "short": setup.short, "results": results}
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"The numbers are in {arguments.out}.")
    raise SystemExit(any(result["status"] == "FAILED" for result in results))


if __name__ == "__main__":
    main()
