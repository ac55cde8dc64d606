"""An ONNX file that scores like any detector of this project."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.detectors.detector import Dense, PreparedImage, ScoredImage
from models.detectors.foreign.errors import ForeignDetectorError
from models.detectors.foreign.layouts import decode
from models.detectors.foreign.preprocess import collate_pixels, prepare_pixels
from models.detectors.foreign.runtime import Network, Port, is_of_runtime
from models.detectors.foreign.scored_boxes import Region, ScoredBoxes, scored_image
from models.detectors.foreign.spec import ForeignSpec

Array = NDArray[Any]

TRIAL_BATCH = 3


class ForeignDetector:
    """
    A loaded ONNX file with its spec.

    It is always in evaluation mode. Files whose batch is fixed, and those whose outputs change in
    the last bit with the images beside them, are run image by image.

    Attributes:
        spec: preprocessing, meaning of the outputs, thresholds.
        device: where `preprocess` leaves images, the CPU; the runtime copies them from there.
        runs_batches: whether images of a batch go through the network together.
    """

    training = False

    def __init__(self, spec: ForeignSpec, network: Network) -> None:
        """Try the network on a few images. Raises ForeignDetectorError if file and spec differ."""
        self.spec = spec
        self.device = torch.device("cpu")
        self._network = network
        self._image_port, self._size_port = input_ports(network)
        self._channels_last = _is_channels_last(self._image_port)
        self.runs_batches = False
        self.runs_batches = self._is_batch_exact()

    @property
    def takes_floats(self) -> bool:
        """Return whether mean and deviation apply; a file that takes bytes scales them itself."""
        return self._image_port.dtype != "uint8"

    def with_spec(self, spec: ForeignSpec) -> "ForeignDetector":
        """Return a detector of the same network that reads images and outputs by another spec."""
        other = copy(self)
        other.spec = spec
        return other

    @property
    def recipe(self) -> str:
        """Everything that `preprocess` depends on, beside the image."""
        spec = self.spec
        return f"onnx {spec.resize} {spec.input_size} {spec.pad_value} {spec.antialias}"

    def decode_size(self, height: int, width: int) -> tuple[int, int] | None:
        """Return None: a JPEG is decoded in full, as the detector's own trainer decodes it."""
        return None

    def padded_size(self, image: PreparedImage) -> tuple[int, int]:
        return self.spec.input_size

    def score_images(
        self, images: Sequence[PreparedImage], min_score: float = 0.0, dense: Dense | None = None
    ) -> list[ScoredImage]:
        """Return log-odds before any threshold of ours, and detections in pixels of the input."""
        if self.runs_batches:
            return self._score_together(images, min_score)
        return [found for image in images for found in self._score_together([image], min_score)]

    def preprocess(
        self, image: Tensor, original_size: tuple[int, int] | None = None
    ) -> PreparedImage:
        """
        Resize and pad one image, uint8 [3, H, W]; safe to call from many threads.

        Raises ValueError for another shape or type.
        """
        if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
            raise ValueError(f"an image must have shape [3, H, W], not {list(image.shape)}")
        if image.dtype != torch.uint8:
            raise ValueError(f"pixels must be uint8, not {image.dtype}")
        return prepare_pixels(self.spec, image)

    def collate(self, images: Sequence[PreparedImage]) -> Array:
        """Return a batch in the type and the order of axes that the file takes."""
        return collate_pixels(
            self.spec, images, dtype=self._image_port.dtype, channels_last=self._channels_last
        )

    def _score_together(
        self, images: Sequence[PreparedImage], min_score: float = 0.0
    ) -> list[ScoredImage]:
        found = self._run(self.collate(images))
        if len(found) < len(images):
            raise ForeignDetectorError("the file gives fewer images than it is given")
        return [
            scored_image(boxes, self.spec, min_score, _region(image))
            for boxes, image in zip(found, images, strict=False)  # a fixed batch is filled up
        ]

    def _run(self, batch: Array) -> list[ScoredBoxes]:
        shape = self._image_port.shape
        assert shape is not None
        num_images = len(batch)
        if len(shape) == 3:
            batch = batch[0]
        elif shape[0] is not None and shape[0] > num_images:  # a batch of that many, or none
            batch = np.concatenate([batch] * shape[0])[: shape[0]]
        feeds = {self._image_port.name: batch}
        if self._size_port is not None:
            size = np.array([self.spec.input_size[::-1]] * num_images)
            feeds[self._size_port.name] = size.astype(self._size_port.dtype)
        names = [port.name or str(index) for index, port in enumerate(self._network.outputs)]
        return decode(dict(zip(names, self._network.run(feeds), strict=True)), self.spec)

    def _is_batch_exact(self) -> bool:
        """Return whether a batch gives each image what it gets alone, to the last bit."""
        images = [self.preprocess(image) for image in trial_images(self.spec)]
        alone = [found for image in images for found in self._score_together([image])]
        shape = self._image_port.shape
        if shape is None or len(shape) != 4 or shape[0] is not None:
            return False
        try:
            together = self._score_together(images)
        except Exception as error:
            if not is_of_runtime(error) and not isinstance(error, ValueError):
                raise
            return False
        return all(map(_is_equal, alone, together))


def input_ports(network: Network) -> tuple[Port, Port | None]:
    """
    Return the port that takes images, and that of the original sizes if there is one.

    Raises ForeignDetectorError for inputs that no layout has.
    """
    images = [port for port in network.inputs if len(port.shape or ()) in (3, 4)]
    sizes = [port for port in network.inputs if len(port.shape or ()) == 2]
    if len(images) != 1 or len(sizes) > 1 or len(network.inputs) != len(images) + len(sizes):
        names = ", ".join(port.name for port in network.inputs)
        raise ForeignDetectorError(f"the file must take one image, and takes: {names}")
    (port,) = images
    if port.dtype not in ("float32", "float16", "uint8"):
        raise ForeignDetectorError(f"the file takes images of {port.dtype}, which is not supported")
    return port, sizes[0] if sizes else None


def trial_images(spec: ForeignSpec) -> list[Tensor]:
    """Return noise of several scales, uint8 [3, h, w] at the size of the input."""
    generator = torch.Generator().manual_seed(0)
    images = []
    for cells in (2, 8, 32)[:TRIAL_BATCH]:
        coarse = torch.randint(0, 256, (1, 3, cells, cells), generator=generator).float()
        fine = torch.nn.functional.interpolate(coarse, spec.input_size, mode="bilinear")
        images.append(fine[0].to(torch.uint8))
    return images


def _is_channels_last(port: Port) -> bool:
    assert port.shape is not None
    sides = port.shape[-3:]
    return sides[2] == 3 and sides[0] != 3


def _region(image: PreparedImage) -> Region:
    """Return where the image itself lies among its pixels, without the padding."""
    left, top = image.placement.offset
    factor_x, factor_y = image.placement.factor
    height, width = image.original_size
    return left, top, left + width / factor_x, top + height / factor_y


def _is_equal(one: ScoredImage, other: ScoredImage) -> bool:
    return (
        one.log_odds == other.log_odds
        and torch.equal(one.detections.boxes, other.detections.boxes)
        and torch.equal(one.detections.scores, other.detections.scores)
    )
