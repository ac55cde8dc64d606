"""
Images in memory to scores: ours against the loop that notebooks run.

Theirs is torchvision's network in evaluation mode, without gradients, on two images at a time, with
all of its post-processing; an image's score is that of its best box. The float images that it takes
are made beforehand. It runs in a process of its own, which nothing of ours has touched: with the C
library's and OpenMP's own settings. Ours starts from uint8 images: resize, batches, forward pass,
scores.

- "scores" finds the best score of every image and no boxes;
- "scores and boxes" finds what the service stores: also every box above the detector's threshold;
- "scores in bfloat16" and "scores by OpenVINO" are the screens of `HARDNEG_BACKEND=bfloat16` and
  `openvino`, without boxes, "boxes above 0.05" that of OpenVINO as the pool is screened.

The SSDLites are trained here from scratch for 60 steps on coloured squares, and kept in --models;
the other networks have random weights, scaled so that their scores spread. What the loop pays for
its post-processing depends on how many anchors pass the threshold for how many classes, hence one
SSDLite stands here twice: as trained, and with the background's logit lowered. Both sides have the
same weights and run in turns; a ratio is the median of the turns' ratios. Scores in float32 that
differ from torchvision's stop the benchmark.

    python -m benchmarks.scoring
"""

import argparse
import dataclasses
import json
import math
import platform
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from benchmarks import NOTEBOOK_ENVIRONMENT
from benchmarks.reference import reference
from benchmarks.scenes import calibrated, pool, shift_background, trained
from benchmarks.timing import compare
from models.detectors import Detector
from models.detectors.detector import Dense
from models.inference.compiled import compile_dense
from models.inference.fused import fuse
from models.inference.predict import Prediction, predict

SCRIPT = str(Path(__file__).with_name("notebook_loop.py"))

# architecture, object classes, background's logit lowered by, our batch, images of a turn
NETWORKS = (
    ("ssdlite320_mobilenet_v3_large", 90, 0.0, 8, 16),
    ("ssdlite320_mobilenet_v3_large", 90, 2.0, 8, 16),
    ("ssdlite320_mobilenet_v3_large", 1, 0.0, 8, 16),
    ("fasterrcnn_mobilenet_v3_large_320_fpn", 90, 0.0, 8, 16),
    ("ssd300_vgg16", 90, 0.0, 4, 8),
    ("retinanet_resnet50_fpn_v2", 90, 0.0, 1, 2),
)


class NotebookLoop:
    """`notebook_loop.py` in a process of its own; each call scores all images once."""

    def __init__(self, detector: Detector, images: Sequence[Tensor], threads: int) -> None:
        self._folder = TemporaryDirectory(prefix="hardneg-")
        path = Path(self._folder.name) / "loop.pt"
        torch.save(
            {
                "network": reference(detector),
                "images": [image.contiguous() / 255 for image in images],
            },
            path,
        )
        self._process = subprocess.Popen(
            [sys.executable, "-P", SCRIPT, str(path), str(threads)],
            env=NOTEBOOK_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self) -> list[float]:
        """Return the highest box score of each image, 0 for an image without boxes."""
        scores: list[float] = json.loads(self._ask("scores"))
        return scores

    def postprocessing_share(self) -> float:
        """Of the loop's time, measured by running it once more."""
        share: float = json.loads(self._ask("share"))
        return share

    def _ask(self, question: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(question, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()

    def close(self) -> None:
        self._process.communicate()
        self._folder.cleanup()


class Ours:
    """Batches side by side, each on one thread of torch."""

    def __init__(self, threads: int) -> None:
        self.num_threads = threads
        self._threads = ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1))

    def score(
        self,
        detector: Detector,
        images: Sequence[Tensor],
        batch: int,
        *,
        in_bfloat16: bool = False,
        dense: Dense | None = None,
        min_score: float = 0.0,
    ) -> list[Prediction]:
        def of_batch(start: int) -> list[Prediction]:
            prepared = [detector.preprocess(image) for image in images[start : start + batch]]
            return predict(
                detector, prepared, in_bfloat16=in_bfloat16, dense=dense, min_score=min_score
            )

        found = self._threads.map(of_batch, range(0, len(images), batch))
        return [prediction for predictions in found for prediction in predictions]

    def close(self) -> None:
        self._threads.shutdown()


def require_same(ours: Sequence[Prediction], theirs: Sequence[float]) -> None:
    """Raise RuntimeError if the two sides score an image differently."""
    for prediction, expected in zip(ours, theirs, strict=True):
        found = prediction.max_score
        if found is None or not math.isclose(found, expected, abs_tol=1e-3):
            raise RuntimeError(f"the two sides differ: {found} and {expected}")


def rows(
    detector: Detector,
    images: Sequence[Tensor],
    batch: int,
    repeats: int,
    ours: Ours,
    theirs: NotebookLoop,
) -> list[str]:
    """Of the table, one for each way of ours."""
    fused = fuse(detector)
    scores_only = fuse(detector)
    scores_only.spec = dataclasses.replace(detector.spec, score_threshold=1.0)
    num_streams = num_threads = ours.num_threads
    dense = compile_dense(detector, num_streams=num_streams, num_threads=num_threads)
    score, detect = (partial(ours.score, x, images, batch) for x in (scores_only, fused))
    ways = {
        "scores": score,
        "scores and boxes": detect,
        "scores in bfloat16": partial(score, in_bfloat16=True),
        "scores by OpenVINO": partial(score, in_bfloat16=True, dense=dense),
        "boxes above 0.05": partial(detect, in_bfloat16=True, dense=dense, min_score=0.05),
    }
    exact = detect()
    require_same(exact, theirs())
    odds = np.array([prediction.log_odds for prediction in exact], dtype=float)
    boxes = np.mean([len(prediction.detections) for prediction in exact])
    spread = ", ".join(f"{value:.1f}" for value in np.quantile(odds, [0, 0.5, 1]))
    name = f"{detector.spec.architecture}, {len(detector.spec.class_names) + 1}"
    share = f"{theirs.postprocessing_share():.0%}"
    cells = []
    for way, run in ways.items():
        found = np.array([prediction.log_odds for prediction in run()], dtype=float)
        timing = compare(run, theirs, repeats)
        cells.append(
            f"| {name} | {way} | {timing.cells(len(images))} | {share} | {spread} | {boxes:.0f} "
            f"| {np.abs(found - odds).max():.3f} |"
        )
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each side (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="of both sides (default 2)")
    parser.add_argument("--models", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--only", default="", help="networks whose names start so")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)  # for training
    print(
        f"torch {torch.__version__}, {arguments.threads} threads, {platform.machine()}, images of "
        f"640 × 480 in memory, medians of {arguments.repeats} turns, ms per image\n"
    )
    print(
        "| network, classes with background | way | ours | the notebook's loop | ratio (quartiles) "
        "| post-processing in the loop | log-odds: least, median, most | boxes of an image "
        "| off by |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for architecture, num_classes, lowered_by, batch, num_images in NETWORKS:
        if not architecture.startswith(arguments.only):
            continue
        images = pool(num_images, num_classes)
        if architecture.startswith("ssdlite"):
            detector = trained(architecture, num_classes, arguments.models)
        else:
            detector = calibrated(architecture, num_classes, images)
        shift_background(detector, -lowered_by)
        with (
            closing(Ours(arguments.threads)) as ours,
            closing(NotebookLoop(detector, images, arguments.threads)) as theirs,
        ):
            for row in rows(detector, images, batch, arguments.repeats, ours, theirs):
                print(row, flush=True)


if __name__ == "__main__":
    main()
