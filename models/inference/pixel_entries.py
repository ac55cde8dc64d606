"""Entries of the pixel cache: the pixels of one image, on their way to a network, as bytes."""

import json
import zlib
from dataclasses import dataclass
from hashlib import sha256

import PIL
import torch
from PIL import features
from torch import Tensor

from models.detectors.detector import Placement, PreparedImage
from models.detectors.scoring import ScoringDetector

FORMAT = 1
ALIGNMENT = 16  # of pixels in a file

_MAGIC = b"hardneg px1\n"  # with four bytes of length, a multiple of the alignment
_DTYPES = {"uint8": torch.uint8, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class PixelEntry:
    """
    The decoded pixels of an image, or the prepared ones, whichever are fewer bytes.

    Attributes:
        pixels: uint8 or float32 [3, h, w].
        original_size: (height, width) of the upright original.
        placement: of prepared pixels; None for decoded ones, which are still to be resized.
    """

    pixels: Tensor
    original_size: tuple[int, int]
    placement: Placement | None

    @classmethod
    def of(cls, decoded: Tensor, prepared: PreparedImage) -> "PixelEntry":
        """Choose between two states of one image."""
        if decoded.nbytes < prepared.pixels.nbytes:
            return cls(decoded, prepared.original_size, None)
        return cls(prepared.pixels, prepared.original_size, prepared.placement)

    def prepared(self, detector: ScoringDetector) -> PreparedImage:
        """Return what `prepare` returns for the image's file, bit for bit."""
        if self.placement is None:
            return detector.preprocess(self.pixels, self.original_size)
        return PreparedImage(self.pixels, self.original_size, self.placement)


def entry_kind(detector: ScoringDetector) -> str | None:
    """
    Return a name for the entries that a detector's images have; None if it has no recipe.

    Detectors of one kind share entries. Other releases of the libraries may give other pixels.
    """
    recipe = getattr(detector, "recipe", None)  # a plug-in may lack it
    if recipe is None:
        return None
    parts = [FORMAT, recipe, torch.__version__, PIL.__version__, features.version("jpg")]
    return sha256(json.dumps(parts).encode()).hexdigest()[:16]


def to_bytes(entry: PixelEntry) -> bytes:
    """Return an entry as the bytes of a file; `from_bytes` reads them."""
    is_channels_last = entry.pixels.permute(1, 2, 0).is_contiguous()
    stored = entry.pixels.permute(1, 2, 0) if is_channels_last else entry.pixels.contiguous()
    header = {
        "dtype": str(entry.pixels.dtype).removeprefix("torch."),
        "shape": list(stored.shape),
        "channels_last": is_channels_last,
        "original_size": entry.original_size,
        "placement": entry.placement,
    }
    text = json.dumps(header).encode()
    text = text.ljust(-(-len(text) // ALIGNMENT) * ALIGNMENT)
    body = _MAGIC + len(text).to_bytes(4) + text + stored.numpy().tobytes()
    return body + zlib.crc32(body).to_bytes(4)


def from_bytes(buffer: Tensor) -> PixelEntry | None:
    """Return the entry in uint8 [N], whose memory it shares; None if it is damaged."""
    content = buffer.numpy().data
    start = len(_MAGIC) + 4
    if len(content) < start or content[-4:] != zlib.crc32(content[:-4]).to_bytes(4):
        return None
    first = start + int.from_bytes(content[len(_MAGIC) : start])
    header = json.loads(bytes(content[start:first]))
    pixels = buffer[first:-4].view(_DTYPES[header["dtype"]]).view(header["shape"])
    height, width = header["original_size"]
    return PixelEntry(
        pixels.permute(2, 0, 1) if header["channels_last"] else pixels,
        (height, width),
        header["placement"] and Placement(*map(tuple, header["placement"])),
    )
