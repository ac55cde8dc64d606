"""
Speed of a rescan after another version begins to serve, compared with the network alone.

One process measures three rates, in turns: decoding alone, on the decode threads; the engine alone,
on the same images decoded in memory; and the whole rescan that `POST /model-versions/ID/activate`
starts, from its answer until every score is in the database. "Both" is the rate to expect if
decoding and the network used all cores one after the other. It bounds the rescan where decoding
needs more than a small part of the cores. A second row has four times as many images.

`HARDNEG_BACKEND=bfloat16` is measured with an exact top of 1/64 of the pool, as if the pool were
large. "Engine" is then the rate to expect from its two rates and the share that is scored twice.

    python -m benchmarks.rescan
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from fastapi.testclient import TestClient

from benchmarks.pictures import jpegs
from benchmarks.scenes import calibrated, pool, trained
from benchmarks.timing import seconds
from models.detectors import Detector, PreparedImage
from models.detectors.checkpoint import save_checkpoint
from models.inference.predict import prepare
from service.app import create_app
from service.logs import set_up_logs
from service.scoring.engine import RESCAN, LoadedVersion
from service.scoring.scorer import Scorer
from service.scoring.splits import min_score_of
from service.scoring.store import count_unscored
from service.settings import Settings
from tests.service.resources import resources_of

TOP_SHARE = 64
UPLOAD = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """Images per second; the rescan scored `num_exact` of its images in float32."""

    decode: float
    engine: float
    rescan: float
    num_exact: int

    @property
    def both(self) -> float:
        return 1 / (1 / self.decode + 1 / self.engine)


class Service:
    """The app in this process; each turn adds the same detector as another version."""

    def __init__(self, client: TestClient, detector: Detector, folder: Path) -> None:
        self.client = client
        resources = resources_of(client)
        self.scorer = resources.scorer
        self._sessions = resources.read_sessions
        self._detector = detector
        self._checkpoint = folder / "checkpoint.safetensors"
        self._num_versions = 0

    def send(self, images: Sequence[bytes]) -> None:
        for start in range(0, len(images), UPLOAD):
            files = [("files", data) for data in images[start : start + UPLOAD]]
            headers = {"Prefer": "respond-async"}
            self.client.post("/images", files=files, headers=headers).raise_for_status()

    def activate(self, exact_top: int) -> None:
        """Add and activate another version; its screen, if any, has this exact top."""
        self._num_versions += 1
        name = f"turn-{self._num_versions}"
        spec = self._detector.spec  # changed, because the same file would be the same version
        names = (name, *spec.class_names[1:])
        self._detector.spec = dataclasses.replace(spec, class_names=names)
        save_checkpoint(self._detector, self._checkpoint)
        with self._checkpoint.open("rb") as file:
            answer = self.client.post(
                "/model-versions", files={"checkpoint": file}, data={"name": name}
            )
            answer.raise_for_status()
        self.client.post(f"/model-versions/{name}/activate").raise_for_status()
        version = self.scorer.serving
        assert version is not None
        if version.screen is not None:
            version.screen.exact_top = exact_top

    def wait_until_scored(self) -> None:
        version = self.scorer.serving
        assert version is not None
        while True:
            with self._sessions.begin() as session:
                if count_unscored(session, version.id) == 0:
                    return
            time.sleep(0.02)

    def num_forwarded(self) -> float:
        """Count the forward passes so far; an image may need two."""
        text = self.client.get("/metrics").text
        (line,) = (
            x
            for x in text.splitlines()
            if x.startswith('hardneg_scored_images_total{result="scored"')
        )
        return float(line.split()[-1])


def measure(service: Service, images: Sequence[bytes], num_stored: int) -> Turn:
    """Measure one turn; `images` are some of the stored ones."""
    service.activate(max(1, num_stored // TOP_SHARE))
    version = service.scorer.serving
    assert version is not None
    before = service.num_forwarded()
    rescan = num_stored / seconds(service.wait_until_scored)
    in_float32 = service.num_forwarded() - before - num_stored
    if version.screen is None:
        in_float32 = num_stored
    decode = len(images) / seconds(lambda: _decode(service.scorer, version, images))
    prepared = [prepare(version.detector, data) for data in images]
    engine = len(images) / seconds(lambda: _score(service.scorer, version, prepared))
    if version.screen is not None:
        quick = len(images) / seconds(lambda: _score(service.scorer, version, prepared, quick=True))
        engine = 1 / (1 / quick + in_float32 / num_stored / engine)
    return Turn(decode, engine, rescan, int(in_float32))


def _decode(scorer: Scorer, version: LoadedVersion, images: Sequence[bytes]) -> None:
    for future in scorer.map_decode(lambda data: prepare(version.detector, data), images):
        future.result()


def _score(
    scorer: Scorer,
    version: LoadedVersion,
    images: Sequence[PreparedImage],
    *,
    quick: bool = False,
) -> None:
    min_score = min_score_of("pool", Settings())
    futures = [
        scorer.submit(version, image, priority=RESCAN, quick=quick, min_score=min_score)
        for image in images
    ]
    for future in futures:
        future.result()


def row(name: str, num_stored: int, turns: Sequence[Turn]) -> str:
    decode, engine, both, rescan = (
        statistics.median(getattr(turn, name) for turn in turns)
        for name in ("decode", "engine", "both", "rescan")
    )
    to_engine = [turn.rescan / turn.engine for turn in turns]
    to_both = [turn.rescan / turn.both for turn in turns]
    share = statistics.median(turn.num_exact / num_stored for turn in turns)
    return (
        f"| {name} | {num_stored} | {share:.0%} | {decode:.0f} | {engine:.1f} | {both:.1f} | "
        f"{rescan:.1f} | {_spread(to_engine)} | {_spread(to_both)} |"
    )


def _spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def run(backend: str, detector: Detector, arguments: argparse.Namespace) -> None:
    size = (arguments.width, arguments.height)
    images = jpegs(4 * arguments.images, arguments.classes, size)
    with TemporaryDirectory() as folder:
        settings = Settings(
            data_dir=Path(folder) / "data",
            backend=backend,
            device="cpu",
            embedded_worker=False,
            decode_threads=arguments.decode_threads,
        )
        with TestClient(create_app(settings), base_url="http://localhost") as client:
            service = Service(client, detector, Path(folder))
            num_stored = 0
            for num_images in (arguments.images, 4 * arguments.images):
                service.send(images[num_stored:num_images])
                num_stored = num_images
                service.activate(1)
                service.wait_until_scored()
                turns = [
                    measure(service, images[: arguments.images], num_stored)
                    for _ in range(arguments.turns)
                ]
                print(row(backend, num_stored, turns), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=128, help="the smaller pool (default 128)")
    parser.add_argument("--turns", type=int, default=3, help="of each (default 3)")
    parser.add_argument("--backends", nargs="+", default=["eager", "bfloat16"])
    parser.add_argument("--network", default="ssdlite320_mobilenet_v3_large")
    parser.add_argument("--classes", type=int, default=90, help="object classes (default 90)")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--threads", type=int, default=2, help="of torch (default 2)")
    parser.add_argument("--decode-threads", type=int, default=2)
    parser.add_argument("--models", type=Path, default=Path("runs/benchmarks"))
    arguments = parser.parse_args()
    set_up_logs("warning", "json")
    torch.set_num_threads(arguments.threads)
    print(
        f"{arguments.network}, {arguments.classes} classes, JPEGs of {arguments.width} × "
        f"{arguments.height}, {arguments.threads} threads of torch, {arguments.decode_threads} "
        f"to decode; images/s, medians of {arguments.turns} turns (least-most)\n"
    )
    print(
        "| backend | images | in float32 | decoding alone | engine alone | both | rescan | "
        "rescan/engine | rescan/both |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    if arguments.network.startswith("ssdlite"):
        detector = trained(arguments.network, arguments.classes, arguments.models)
    else:
        images = pool(4, arguments.classes)
        detector = calibrated(arguments.network, arguments.classes, images)
    for backend in arguments.backends:
        run(backend, detector, arguments)


if __name__ == "__main__":
    main()
