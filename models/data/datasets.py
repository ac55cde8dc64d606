"""Images with their objects, decoded once and kept small in memory."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torchvision.transforms.v2 import functional

from models.data.ground_truth import GroundTruth
from models.data.images import decode_file

Reader = Callable[[], bytes]

DEFAULT_CAPACITY_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """
    An image and the objects in it; a negative has none.

    Attributes:
        name: shown to people and in reports, for instance a file name or a digest.
        read: returns the encoded bytes at every call.
        truth: boxes in pixels of the upright image.
        size_bytes: of the encoded bytes, where they have been read before; else 0.
    """

    name: str
    read: Reader
    truth: GroundTruth
    size_bytes: int = 0

    @classmethod
    def negative(cls, name: str, read: Reader) -> "LabelledImage":
        return cls(name, read, GroundTruth.empty())


def negatives_in(folder: Path) -> list[LabelledImage]:
    """Return every JPEG and PNG of a folder, sorted by name, as images without objects."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in {".jpg", ".jpeg", ".png"})
    return [LabelledImage.negative(path.name, path.read_bytes) for path in paths]


@dataclass(frozen=True, slots=True)
class Sample:
    """
    A decoded image and its objects.

    Attributes:
        image: uint8 [3, H, W], upright RGB.
        truth: boxes in pixels of `image`.
    """

    image: Tensor
    truth: GroundTruth


class ImageCache:
    """
    Labelled images, decoded and shrunk on first use, then kept: decoding costs more than a copy.

    Threads share it. Processes can share it through a folder: an image that one has decoded, the
    others map into their memory, where it exists once. Without a folder, each fills its own.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        max_side: int,
        *,
        capacity_bytes: int = DEFAULT_CAPACITY_BYTES,
        folder: Path | None = None,
    ) -> None:
        """
        Args:
            images: read lazily; the same in all processes that share a folder.
            max_side: longer images are shrunk to this many pixels, never enlarged.
            capacity_bytes: of the images that this process adds; others are decoded each time.
            folder: empty at first; where processes share their images.
        """
        self._images = images
        self._max_side = max_side
        self._free_bytes = capacity_bytes
        self._folder = folder
        self._samples: dict[int, Sample] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        """Return one sample. Raises `UnreadableImageError` for a damaged image."""
        sample = self._samples.get(index) or self._load_shared(index)
        if sample is None:
            sample = self._decode(index)
            with self._lock:
                if index in self._samples or sample.image.nbytes > self._free_bytes:
                    return sample
                self._free_bytes -= sample.image.nbytes
                self._samples[index] = sample
            if self._folder is not None:
                sample = _share(sample, self._folder / str(index))
        self._samples[index] = sample
        return sample

    def _load_shared(self, index: int) -> Sample | None:
        if self._folder is None or not (self._folder / str(index)).exists():
            return None
        return _map(self._folder / str(index))

    def _decode(self, index: int) -> Sample:
        labelled = self._images[index]
        enough = 2 * self._max_side
        header, pixels = decode_file(labelled.read(), lambda height, width: (enough, enough))
        return shrink(
            Sample(pixels, labelled.truth),
            self._max_side,
            original_size=(header.height, header.width),
        )


def _share(sample: Sample, path: Path) -> Sample:
    """Write a sample for other processes, which see all of it or nothing, and map it."""
    truth = sample.truth
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    save_file(
        {"image": sample.image.contiguous(), "boxes": truth.boxes, "labels": truth.labels},
        unfinished,
    )
    unfinished.replace(path)
    return _map(path)


def _map(path: Path) -> Sample:
    with safe_open(path, framework="pt") as file:
        image, boxes, labels = map(file.get_tensor, ("image", "boxes", "labels"))
    return Sample(image, GroundTruth(boxes, labels))


def shrink(
    sample: Sample, max_side: int, *, original_size: tuple[int, int] | None = None
) -> Sample:
    """
    Scale an image and its boxes down to a longest side of `max_side` pixels; never enlarge.

    `original_size` is the (height, width) that the boxes refer to, if the image is a smaller
    copy.
    """
    height, width = original_size or sample.image.shape[-2:]
    if max(height, width) <= max_side:
        return sample
    scale = max_side / max(height, width)
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    image: Tensor = functional.resize(sample.image, size, antialias=True)
    factors = torch.tensor([size[1] / width, size[0] / height] * 2)
    return Sample(image, GroundTruth(sample.truth.boxes * factors, sample.truth.labels))
