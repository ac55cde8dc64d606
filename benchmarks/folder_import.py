"""
Import and scoring of 12-megapixel JPEGs from a folder, against the same with Pillow's full decode.

Both sides read the files, prove that they are whole, make their bytes durable, add their rows,
and score them with an ssdlite320 as a sweep does; so each file is decoded twice, once by the
worker and once by the service. In one of them Pillow's `draft`, which decodes a JPEG at a fraction
of its size, does nothing. They run in turns, each over files of its own; the ratio is the median
of the turns'.

    python -m benchmarks.folder_import
"""

import argparse
import io
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from unittest.mock import patch

import torch
from PIL.JpegImagePlugin import JpegImageFile

from benchmarks.decode import photograph
from benchmarks.scenes import trained
from benchmarks.service import numbered
from benchmarks.timing import compare
from models.detectors.checkpoint import save_checkpoint
from models.inference.fused import fuse
from service.images.ingest import UploadedFile, ingest
from service.images.storing import Destination
from service.metrics import Metrics
from service.migrate import upgrade
from service.model_versions.service import register_checkpoint
from service.scoring.engine import LoadedVersion
from service.scoring.rescan import score_stored
from service.scoring.resources import open_resources
from service.settings import Settings

NETWORK = "ssdlite320_mobilenet_v3_large"


class Store:
    """An empty database and folder, and a version to score with."""

    def __init__(self, folder: Path, models: Path, stack: ExitStack) -> None:
        settings = Settings(data_dir=folder, device="cpu")
        self.resources = stack.enter_context(open_resources(settings, Metrics(), Event()))
        upgrade(self.resources.engine)
        detector = trained(NETWORK, 90, models)
        path = folder / "checkpoint.safetensors"
        save_checkpoint(detector, path)
        row, _ = register_checkpoint(self.resources.sessions, self.resources.blobs, path)
        self.version = LoadedVersion(row.id, row.name, fuse(detector))

    def take_in(self, files: list[Path], *, in_full: bool) -> None:
        draft = patch.object(JpegImageFile, "draft", lambda *_: None) if in_full else nullcontext()
        with draft:
            uploaded = [UploadedFile(file.name, io.BytesIO(file.read_bytes())) for file in files]
            ingested = ingest(self.resources, uploaded, Destination("pool", ""))
            images = [file.image for file in ingested]
            stored = [image for image in images if image is not None]
            assert len(stored) == len(files)
            windows = [stored[k : k + 16] for k in range(0, len(stored), 16)]
            score_stored(self.resources, self.version, windows)


def files_of_a_turn(folder: Path, images: Iterator[bytes], num_images: int) -> list[Path]:
    files = []
    for _ in range(num_images):
        files.append(folder / f"{time.perf_counter_ns()}.jpg")
        files[-1].write_bytes(next(images))
    return files


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=16, help="of a turn (default 16)")
    parser.add_argument("--repeats", type=int, default=5, help="of each side (default 5)")
    parser.add_argument("--models", type=Path, default=Path("runs/benchmarks"))
    arguments = parser.parse_args()
    images = numbered([photograph(seed) for seed in range(2)])
    with TemporaryDirectory(prefix="hardneg-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        store = Store(folder, arguments.models, stack)
        turns = [
            iter([files_of_a_turn(folder, images, arguments.images) for _ in range(1 + repeats)])
            for repeats in (arguments.repeats, arguments.repeats)
        ]
        ours, theirs = (
            partial(_next_turn, store, files, in_full)
            for files, in_full in zip(turns, (False, True), strict=True)
        )
        timing = compare(ours, theirs, arguments.repeats)
    print(
        f"{arguments.images} files of 4000 × 3000 a turn, {torch.get_num_threads()} threads of "
        f"torch, {Settings().num_decode_threads} to decode; ms per image\n\n"
        "| import and scores | with Pillow in full | ratio (quartiles) |\n| --- | --- | --- |\n"
        f"| {timing.cells(arguments.images)} |\n\ntarget ≥ 4"
    )


def _next_turn(store: Store, files: Iterator[list[Path]], in_full: bool) -> None:
    store.take_in(next(files), in_full=in_full)


if __name__ == "__main__":
    main()
