"""
ONNX files through the service's engine: speed against a plain loop, and memory of each layout.

The first table has an SSDLite as torchvision's network in our engine and, exported to ONNX, as a
foreign detector in the same engine. The plain loop is what one writes first: ONNX Runtime on one
image at a time, with all threads within an image, and the highest probability of an object class.
All start from uint8 pixels of the network's size. The engine's side also keeps boxes above the
detector's threshold and suppresses those that overlap. Rates are of turns; a ratio is the median of
the turns' ratios.

The second table has a tiny network in every layout, each in a process of its own: what an image
takes on one thread, with and without our part, and how much the resident memory grows by loading
the file and scoring. So small a network shows what the decoders cost.

    python -m benchmarks.foreign
"""

import argparse
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.memory import memory_mb
from benchmarks.scenes import pool, trained
from benchmarks.timing import compare
from models.detectors import Detector
from models.detectors.detector import PreparedImage
from models.detectors.foreign.detector import ForeignDetector, input_ports
from models.detectors.foreign.preprocess import collate_pixels
from models.detectors.foreign.runtime import OnnxRuntimeNetwork
from models.detectors.foreign.spec import ForeignSpec, Layout, Resize
from models.detectors.scoring import ScoringDetector
from models.inference.fused import fuse
from models.process import tune_process
from service.metrics import Metrics
from service.scoring.engine import RESCAN, InferenceEngine, LoadedVersion
from tests.models.detectors.foreign.networks import export
from tests.models.detectors.foreign.test_layouts import image, spec_of

ARCHITECTURE, NUM_CLASSES = "ssdlite320_mobilenet_v3_large", 90
BATCH = 8
CHILD_IMAGES, CHILD_TURNS = 40, 9

Array = NDArray[Any]


class SsdliteAsOnnx(nn.Module):
    """An SSDLite whose outputs have the layout `anchors-softmax`."""

    network: Any
    centers: Tensor
    sides: Tensor
    scale: Tensor

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.network = detector.network
        height, width = detector.spec.input_size
        batch = detector.collate([detector.preprocess(torch.zeros(3, height, width).byte())])
        maps = list(self.network.backbone(batch.tensors).values())
        (anchors,) = self.network.anchor_generator(batch, maps)
        self.register_buffer("centers", (anchors[:, :2] + anchors[:, 2:]) / 2)
        self.register_buffer("sides", anchors[:, 2:] - anchors[:, :2])
        self.register_buffer("scale", torch.tensor([width, height, width, height]).float())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.network.head(list(self.network.backbone(images).values()))
        offsets = outputs["bbox_regression"]
        centers = offsets[..., :2] / 10 * self.sides + self.centers
        half = (offsets[..., 2:] / 5).clamp(max=4.0).exp() * self.sides / 2
        boxes = torch.cat([centers - half, centers + half], dim=-1) / self.scale
        return outputs["cls_logits"].softmax(-1), boxes


def export_ssdlite(detector: Detector, path: Path) -> ForeignSpec:
    """Write the file, with a dynamic batch, and return how to score with it."""
    height, width = detector.spec.input_size
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is deprecated
        torch.onnx.export(
            SsdliteAsOnnx(detector).eval(),
            (torch.zeros(1, 3, height, width),),
            path,
            input_names=["images"],
            output_names=["scores", "boxes"],
            dynamic_axes={name: {0: "batch"} for name in ("images", "scores", "boxes")},
            dynamo=False,
        )
    spec = detector.spec
    return ForeignSpec(
        layout=Layout.ANCHORS_SOFTMAX,
        class_names=spec.class_names,
        input_size=spec.input_size,
        resize=Resize.STRETCH,
        image_mean=tuple(255 * mean for mean in spec.image_mean),  # type: ignore[arg-type]  # three
        image_std=tuple(255 * std for std in spec.image_std),  # type: ignore[arg-type]  # three
        background_column=0,
        score_threshold=spec.score_threshold,
        nms_threshold=spec.nms_threshold,
        detections_per_image=spec.detections_per_image,
    )


class Engine:
    """The service's engine with one version, as a rescan uses it."""

    def __init__(self, detector: ScoringDetector, threads: int) -> None:
        self._version = LoadedVersion(1, "measured", detector, batch_size=BATCH)
        self._engine = InferenceEngine(0.003, Metrics(), num_threads=threads)

    def scores(self, images: Sequence[PreparedImage]) -> list[float]:
        futures = [self._engine.submit(self._version, one, priority=RESCAN) for one in images]
        return [future.result().max_score or 0.0 for future in futures]

    def close(self) -> None:
        self._engine.close()


def plain_loop(path: Path, spec: ForeignSpec, threads: int) -> Callable[..., list[float]]:
    """Return the loop: normalise, run, take the highest probability of an object class."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    mean = np.array(spec.image_mean, np.float32).reshape(1, 3, 1, 1)
    std = np.array(spec.image_std, np.float32).reshape(1, 3, 1, 1)

    def scores(images: Sequence[Array]) -> list[float]:
        found = []
        for pixels in images:
            probabilities, _ = session.run(None, {"images": (pixels[None] - mean) / std})
            found.append(float(probabilities[0, :, 1:].max()))
        return found

    return scores


def compare_ssdlite(folder: Path, models: Path, threads: int, repeats: int, count: int) -> None:
    """Print the first table."""
    detector = trained(ARCHITECTURE, NUM_CLASSES, models)
    spec = export_ssdlite(detector, folder / "ssdlite.onnx")
    foreign = ForeignDetector(spec, OnnxRuntimeNetwork(folder / "ssdlite.onnx"))
    pictures = pool(count, NUM_CLASSES)
    prepared = [foreign.preprocess(picture) for picture in pictures]
    arrays = [one.pixels.numpy() for one in prepared]
    loop = plain_loop(folder / "ssdlite.onnx", spec, threads)
    expected = loop(arrays)
    print("| engine | ours, ms | plain loop, ms | loop's time over ours | off by |")
    print("| --- | --- | --- | --- | --- |")
    for name, one in (("ONNX Runtime", foreign), ("torch, fused", fuse(detector))):
        with closing(Engine(one, threads)) as engine:
            ours = engine.scores(prepared)
            timing = compare(
                lambda engine=engine: engine.scores(prepared),  # type: ignore[misc]
                lambda: loop(arrays),
                repeats,
            )
        off = max(abs(a - b) for a, b in zip(ours, expected, strict=True))
        print(f"| {name} | {timing.cells(count)} | {off:.0e} |", flush=True)


def measure_layout(folder: Path, layout: Layout, results: Connection) -> None:
    """Send the memory in MB that a file takes, and seconds per image, with and without the file."""
    before, _ = memory_mb(os.getpid())
    network = OnnxRuntimeNetwork(folder / f"{layout}.onnx")
    detector = ForeignDetector(spec_of(layout), network)
    prepared = [detector.preprocess(image(number)) for number in range(CHILD_IMAGES)]
    feeds = [_feeds(network, detector, one) for one in prepared]

    def run_network() -> None:
        for feed in feeds:
            network.run(feed)

    def score() -> None:
        for one in prepared:
            detector.score_images([one])

    timing = compare(score, run_network, CHILD_TURNS)
    after, _ = memory_mb(os.getpid())
    results.send((after - before, timing.ours / CHILD_IMAGES, timing.theirs / CHILD_IMAGES))


def measure_layouts(folder: Path) -> None:
    """Print a row for each layout, each measured in a fork of this process, which has no file."""
    torch.set_num_threads(1)
    context = get_context("fork")
    for layout in Layout:
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(target=measure_layout, args=(folder, layout, theirs))
        child.start()
        memory, ours, network = mine.recv()
        child.join()
        print(f"| `{layout}` | {1e3 * ours:.2f} | {1e3 * network:.2f} | {memory:.0f} |", flush=True)


def _feeds(
    network: OnnxRuntimeNetwork, detector: ForeignDetector, one: PreparedImage
) -> dict[str, Array]:
    port, size_port = input_ports(network)
    is_last = port.dtype == "uint8"
    feeds = {
        port.name: collate_pixels(detector.spec, [one], dtype=port.dtype, channels_last=is_last)
    }
    if size_port is not None:
        feeds[size_port.name] = np.array([detector.spec.input_size[::-1]])
    return feeds


def compare_layouts(folder: Path) -> None:
    """Print the second table; a process that only loads the libraries measures it."""
    for layout in Layout:
        export(layout, folder / f"{layout}.onnx")
    print("\n| layout | an image, ms | the network alone, ms | memory, MB |")
    print("| --- | --- | --- | --- |", flush=True)
    command = [sys.executable, "-m", "benchmarks.foreign", "--layouts-of", str(folder)]
    subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9, help="turns of each side (default 9)")
    parser.add_argument("--images", type=int, default=32, help="of a turn (default 32)")
    parser.add_argument("--threads", type=int, default=2, help="of both sides (default 2)")
    parser.add_argument("--models", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--no-layouts", action="store_true", help="print the first table only")
    parser.add_argument("--layouts-of", type=Path, help=argparse.SUPPRESS)  # in the child
    arguments = parser.parse_args()
    if arguments.layouts_of:
        measure_layouts(arguments.layouts_of)
        return
    tune_process()
    torch.set_num_threads(arguments.threads)
    print(
        f"torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}, {arguments.threads} "
        f"threads, {ARCHITECTURE} of {NUM_CLASSES + 1} classes, medians of {arguments.repeats}\n"
    )
    with TemporaryDirectory(prefix="hardneg-") as name:
        compare_ssdlite(
            Path(name), arguments.models, arguments.threads, arguments.repeats, arguments.images
        )
        if not arguments.no_layouts:
            compare_layouts(Path(name))


if __name__ == "__main__":
    main()
