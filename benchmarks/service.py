"""
Images a second of the whole service over HTTP, against LitServe and against the engine alone.

16 clients send JPEGs of 640 × 480 to `POST /images`, each one request after another, with one file
a request and with 16. Every image is new: the service makes it durable, stores it, scores it and
saves the score before the answer. LitServe gets the same JPEGs, one a request, batches up to 16
and answers with the detections of torchvision's network as notebooks run it; it stores nothing.
"Engine" is our engine without HTTP, in this process, on images decoded in memory. All have the
same weights and take turns; ratios are medians of the turns' ratios.

Install LitServe with `pip install 'hardneg[bench]'`.

    python -m benchmarks.service
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import torch

from benchmarks import NOTEBOOK_ENVIRONMENT
from benchmarks.pictures import jpegs
from benchmarks.reference import reference
from benchmarks.scenes import trained
from benchmarks.service_process import free_port, hardneg_server, wait_until
from benchmarks.timing import seconds
from benchmarks.upload_load import upload
from models.detectors import Detector, PreparedImage
from models.detectors.checkpoint import save_checkpoint
from models.inference.fused import fuse
from models.inference.predict import prepare
from service.logs import set_up_logs
from service.metrics import Metrics
from service.scoring.engine import LoadedVersion
from service.scoring.scorer import Scorer
from service.scoring.splits import min_score_of
from service.settings import Settings

NETWORK = "ssdlite320_mobilenet_v3_large"
ENGINE_IMAGES = 128


@dataclass(frozen=True, slots=True)
class Turn:
    """Images a second of each side in one turn; NaN without LitServe."""

    litserve: float
    one: float
    sixteen: float
    engine: float


@contextmanager
def litserve_server(network: Path) -> Iterator[int | None]:
    """Yield the port of a LitServe server, or None if LitServe is not installed."""
    if find_spec("litserve") is None:
        yield None
        return
    port = free_port()
    script = str(Path(__file__).with_name("litserve_server.py"))
    log = network.with_suffix(".log")
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-P", script, str(port), str(network)],
            env=NOTEBOOK_ENVIRONMENT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        try:
            wait_until(lambda: httpx.get(f"http://127.0.0.1:{port}/health").is_success, server)
        except RuntimeError:
            print(log.read_text(errors="replace"), file=sys.stderr)
            raise
        yield port
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # its processes outlive their parent
        server.wait()


def numbered(images: Sequence[bytes]) -> Iterator[bytes]:
    """Repeat the images forever, with a comment that makes the bytes of each one new."""
    number = 0
    while True:
        for image in images:
            number += 1
            yield image[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + image[2:]


def measure(
    num_classes: int, detector: Detector, arguments: argparse.Namespace, folder: Path
) -> list[Turn]:
    checkpoint = folder / f"{num_classes}.safetensors"
    save_checkpoint(detector, checkpoint)
    network = folder / f"{num_classes}.pt"
    torch.save(reference(detector), network)
    images = numbered(jpegs(64, num_classes))
    loaded = LoadedVersion(1, "engine", fuse(detector))
    prepared = [prepare(loaded.detector, next(images)) for _ in range(ENGINE_IMAGES)]
    turns = []
    with ExitStack() as stack:
        scorer = Scorer(Settings(), Metrics())
        stack.callback(scorer.close)
        theirs = stack.enter_context(litserve_server(network))
        ours, _ = stack.enter_context(hardneg_server(checkpoint))
        for _ in range(arguments.turns + 1):
            litserve = float("nan")
            if theirs is not None:
                load = upload(
                    theirs, images, path="/predict", field="file", seconds=arguments.seconds
                )
                litserve = load.rate
            one = upload(ours.port, images, seconds=arguments.seconds).rate
            sixteen = upload(ours.port, images, files=16, seconds=arguments.seconds).rate
            engine = ENGINE_IMAGES / seconds(lambda: _score(scorer, loaded, prepared))
            turns.append(Turn(litserve, one, sixteen, engine))
    return turns[1:]  # the first one warms up


def _score(scorer: Scorer, version: LoadedVersion, images: Sequence[PreparedImage]) -> None:
    """Score images of the pool as an upload of all of them does."""
    min_score = min_score_of("pool", Settings())
    for future in [scorer.submit(version, image, min_score=min_score) for image in images]:
        future.result()


def row(num_classes: int, turns: Sequence[Turn]) -> str:
    rates = (
        statistics.median(getattr(turn, side) for turn in turns)
        for side in ("litserve", "one", "sixteen", "engine")
    )
    ratios = (
        [turn.one / turn.litserve for turn in turns],
        [turn.sixteen / turn.litserve for turn in turns],
        [turn.one / turn.engine for turn in turns],
        [turn.sixteen / turn.engine for turn in turns],
    )
    cells = [f"{rate:.1f}" for rate in rates]
    cells += [f"{statistics.median(r):.2f} ({min(r):.2f}-{max(r):.2f})" for r in ratios]
    return f"| {num_classes + 1} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5, help="of each side (default 5)")
    parser.add_argument("--seconds", type=float, default=2.5, help="of a turn (default 2.5)")
    parser.add_argument("--classes", type=int, nargs="+", default=[90, 1], help="object classes")
    parser.add_argument("--models", type=Path, default=Path("runs/benchmarks"))
    arguments = parser.parse_args()
    set_up_logs("warning", "json")
    if find_spec("litserve") is None:
        print("LitServe is missing (pip install 'hardneg[bench]'): its columns are nan\n")
    print(
        f"{NETWORK}, 16 clients, JPEGs of 640 × 480, SQLite, {torch.get_num_threads()} threads of "
        f"torch; images/s, medians of {arguments.turns} turns of {arguments.seconds} s "
        "(least-most)\n"
    )
    print(
        "| classes with background | LitServe | 1 file | 16 files | engine | 1 file/LitServe | "
        "16 files/LitServe | 1 file/engine | 16 files/engine |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with TemporaryDirectory(prefix="hardneg-bench-") as folder:
        for num_classes in arguments.classes:
            detector = trained(NETWORK, num_classes, arguments.models)
            turns = measure(num_classes, detector, arguments, Path(folder))
            print(row(num_classes, turns), flush=True)


if __name__ == "__main__":
    main()
