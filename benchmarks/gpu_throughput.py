"""Images per second of the service's way of scoring and of the notebook's loop, on one device."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from benchmarks.pictures import jpegs
from benchmarks.reference import reference
from benchmarks.scenes import calibrated, pool
from benchmarks.timing import compare
from models.detectors.scoring import ScoringDetector
from models.inference.batch_size import CPU_BATCH, LARGEST_GPU_BATCH, fastest_batch_size
from models.inference.fused import fuse
from models.inference.predict import Prediction, predict, prepare
from models.inference.streams import own_stream, settle

NUM_CLASSES = 5
SHORT = ("ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn")
OTHERS = ("ssd300_vgg16", "retinanet_resnet50_fpn_v2")
NOTEBOOK_BATCH = 2
STREAMS = 2


def throughput(device: torch.device, *, short: bool) -> dict[str, Any]:
    """Score images in memory and JPEGs, beside the notebook's loop on the same device."""
    names = SHORT if short else SHORT + OTHERS
    num_images = 16 if short else 512
    found: dict[str, Any] = {}
    for architecture in names:
        images = pool(min(num_images, 64), NUM_CLASSES)
        detector = calibrated(architecture, NUM_CLASSES, images)
        network = reference(detector).to(device)
        moved = fuse(deepcopy(detector).to(device))
        settle(device)
        largest = LARGEST_GPU_BATCH if device.type == "cuda" else CPU_BATCH
        ours = Ours(moved, min(fastest_batch_size(moved, largest), num_images // STREAMS))
        images = (images * (-(-num_images // len(images))))[:num_images]
        floats = [image.contiguous() / 255 for image in images]
        files = jpegs(num_images, NUM_CLASSES)
        found[architecture] = {"batch_size": ours.batch_size}
        for name, mine, theirs in (
            ("in memory", partial(ours.score, images), partial(_notebook, network, floats)),
            ("from JPEGs", partial(ours.score, files), partial(_notebook, network, files)),
        ):
            timing = compare(mine, theirs, 2 if short else 5)
            found[architecture][name] = {
                "images_per_s": num_images / timing.ours,
                "images_per_s_of_the_loop": num_images / timing.theirs,
                "ratio": timing.ratio,
                "quartiles": timing.quartiles,
            }
        ours.close()
    return found


class Ours:
    """The service's way: threads prepare images, and each of two scores batches in its stream."""

    def __init__(self, detector: ScoringDetector, batch_size: int) -> None:
        self.batch_size = batch_size
        self._detector = detector
        self._preparing = ThreadPoolExecutor()
        self._scoring = ThreadPoolExecutor(STREAMS)

    def score(self, images: Sequence[Tensor | bytes]) -> list[Prediction]:
        prepared = [self._preparing.submit(self._prepare, image) for image in images]

        def of_batch(start: int) -> list[Prediction]:
            batch = [each.result() for each in prepared[start : start + self.batch_size]]
            with own_stream(self._detector.device):
                return predict(self._detector, batch)

        starts = range(0, len(images), self.batch_size)
        return [found for batch in self._scoring.map(of_batch, starts) for found in batch]

    def close(self) -> None:
        self._preparing.shutdown()
        self._scoring.shutdown()

    def _prepare(self, image: Tensor | bytes) -> Any:
        if isinstance(image, bytes):
            return prepare(self._detector, image)
        return self._detector.preprocess(image)


@torch.no_grad()
def _notebook(network: torch.nn.Module, images: Sequence[Tensor | bytes]) -> list[float]:
    """Return each image's best score as notebooks get it: two at a time, on the device."""
    device = next(network.parameters()).device
    scores: list[float] = []
    for start in range(0, len(images), NOTEBOOK_BATCH):
        batch = [_float_image(image) for image in images[start : start + NOTEBOOK_BATCH]]
        found = network([image.to(device) for image in batch])
        scores += [max(each["scores"].tolist(), default=0.0) for each in found]
    return scores


def _float_image(image: Tensor | bytes) -> Tensor:
    if isinstance(image, Tensor):
        return image
    data = torch.from_numpy(np.frombuffer(bytearray(image), np.uint8))
    pixels: Tensor = decode_jpeg(data, mode=ImageReadMode.RGB)
    return pixels.float() / 255
