"""
Where an image's time goes on its way from a file to its rank, stage by stage.

One thread takes batches of JPEGs through what the service does with them: read from the blob
store, decoded, resized, put into a batch, through the backbone and the class head, to the highest
score and what lies above the floor, and written to the database in a transaction a batch. Given are
medians over the batches, in ms per image: processor time, and for the write the time that passed,
since it waits for the disk. In the service the stages overlap.

    python -m benchmarks.stages
"""

import argparse
import io
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar

import torch
from PIL import Image
from torch import nn

from benchmarks.decode import photograph
from benchmarks.pictures import jpegs
from benchmarks.scenes import trained
from models.data.images import decode, read_header
from models.detectors import Detector
from models.detectors.checkpoint import save_checkpoint
from models.detectors.detector import enough_for
from models.inference.batch_size import CPU_BATCH
from models.inference.fused import fuse
from models.inference.predict import predict
from service.blobs import BlobStore
from service.db import Sessions, open_engine, open_sessions
from service.images.storing import Destination, store_image, validate_image
from service.migrate import upgrade
from service.model_versions.service import register_checkpoint
from service.scoring.store import save_scores
from service.settings import Settings

NETWORK = "ssdlite320_mobilenet_v3_large"
STAGES = ("read", "decode", "resize", "batch", "backbone", "class head", "scores", "write")

P = ParamSpec("P")
R = TypeVar("R")


class Stopwatch:
    """Seconds by stage, of one batch after the other."""

    def __init__(self) -> None:
        self.batches: list[dict[str, float]] = []

    def next_batch(self) -> None:
        self.batches.append(defaultdict(float))

    @contextmanager
    def stage(self, name: str, clock: Callable[[], float] = time.thread_time) -> Iterator[None]:
        start = clock()
        yield
        self.batches[-1][name] += clock() - start

    def timed(self, name: str, function: Callable[P, R]) -> Callable[P, R]:
        def call(*arguments: P.args, **named: P.kwargs) -> R:
            with self.stage(name):
                return function(*arguments, **named)

        return call

    def medians(self, per: int) -> list[float]:
        """Milliseconds of each stage, for one of `per` images; the first batch warms up."""
        return [
            1e3 / per * statistics.median(batch[name] for batch in self.batches[1:])
            for name in STAGES
        ]


class Line:
    """An empty database and folder, and a detector that scores what is stored there."""

    def __init__(self, folder: Path, detector: Detector) -> None:
        settings = Settings(data_dir=folder)
        self.engine = open_engine(settings.sqlalchemy_url)
        upgrade(self.engine)
        self.sessions: Sessions = open_sessions(self.engine)
        self.blobs = BlobStore(settings.blob_store_url)
        checkpoint = folder / "checkpoint.safetensors"
        save_checkpoint(detector, checkpoint)
        version, _ = register_checkpoint(self.sessions, self.blobs, checkpoint)
        self.version_id = version.id
        self.max_pixels = settings.max_pixels
        self.floor = settings.detection_floor
        self.detector = fuse(detector)

    def store(self, content: bytes) -> tuple[int, str]:
        """Its id and key."""
        image, _ = store_image(
            self.sessions,
            self.blobs,
            validate_image(content, self.max_pixels, None),
            file_name="",
            destination=Destination("pool", ""),
        )
        return image.id, image.blob_key

    def run(self, stored: list[tuple[int, str]], watch: Stopwatch, *, in_bfloat16: bool) -> None:
        """Through all stages; the network's own are timed from within."""
        watch.next_batch()
        with watch.stage("read"):
            contents = [self.blobs.get(key) for _, key in stored]
        prepared = []
        for content in contents:
            with watch.stage("decode"):
                header = read_header(content)
                size = (header.height, header.width)
                pixels = decode(content, enough=enough_for(self.detector.network_size(*size)))
            with watch.stage("resize"):
                prepared.append(self.detector.preprocess(pixels, size))
        inner = ("batch", "backbone", "class head")
        with watch.stage("scores"):
            found = predict(self.detector, prepared, in_bfloat16=in_bfloat16, min_score=self.floor)
        watch.batches[-1]["scores"] -= sum(watch.batches[-1][name] for name in inner)
        ids = [image_id for image_id, _ in stored]
        with watch.stage("write", time.perf_counter), self.sessions.begin() as session:
            save_scores(session, self.version_id, dict(zip(ids, found, strict=True)))

    def watch_network(self, watch: Stopwatch) -> None:
        network = self.detector.network
        assert isinstance(network.backbone, nn.Module)
        assert isinstance(network.head, nn.Module)
        head = network.head.classification_head
        assert isinstance(head, nn.Module)
        self.detector.collate = watch.timed("batch", self.detector.collate)  # type: ignore[method-assign]
        network.backbone.forward = watch.timed("backbone", network.backbone.forward)
        head.forward = watch.timed("class head", head.forward)


def row(images: list[bytes], detector: Detector, name: str, *, in_bfloat16: bool) -> str:
    with TemporaryDirectory(prefix="hardneg-bench-") as folder:
        line = Line(Path(folder), detector)
        stored = [line.store(content) for content in images]
        watch = Stopwatch()
        line.watch_network(watch)
        for start in range(0, len(stored), CPU_BATCH):
            line.run(stored[start : start + CPU_BATCH], watch, in_bfloat16=in_bfloat16)
        line.engine.dispose()
    medians = watch.medians(CPU_BATCH)
    cells = " | ".join(f"{value:.2f}" for value in medians)
    return f"| {name} | {cells} | {sum(medians):.1f} |"


def photographs(num_images: int) -> list[bytes]:
    """Of 12 megapixels, no two of the same bytes."""
    pictures = [photograph(seed) for seed in range(2)]
    return [
        picture[:2] + b"\xff\xfe\x00\x04" + number.to_bytes(2, "big") + picture[2:]
        for number in range(num_images // 2)
        for picture in pictures
    ]


def size_of(image: bytes) -> str:
    width, height = Image.open(io.BytesIO(image)).size
    return f"{width} × {height}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=16, help="of each row (default 16)")
    parser.add_argument("--models", type=Path, default=Path("runs/benchmarks"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    num_images = (1 + arguments.batches) * CPU_BATCH
    print(
        f"{NETWORK}, one thread, batches of {CPU_BATCH}, SQLite; ms per image, medians of "
        f"{arguments.batches} batches\n"
    )
    print(f"| images, classes, precision | {' | '.join(STAGES)} | sum |")
    print(f"| --- |{' --- |' * len(STAGES)} --- |")
    for num_classes in (90, 1):
        detector = trained(NETWORK, num_classes, arguments.models)
        small, large = jpegs(num_images, num_classes), photographs(num_images)
        for images in (small, large) if num_classes == 90 else (small,):
            for precision in ("float32", "bfloat16"):
                name = f"{size_of(images[0])}, {1 + num_classes}, {precision}"
                print(row(images, detector, name, in_bfloat16=precision == "bfloat16"), flush=True)


if __name__ == "__main__":
    main()
