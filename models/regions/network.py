"""Vectors that describe what boxes of an image show, whatever the detector is."""

import math
from hashlib import sha256
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

from models.data.images import MAX_PIXELS, decode_file
from models.detectors.backbones import Lite0Backbone, lite0_imagenet_weights
from models.detectors.detector import box_scale

MAX_SIDE = 512  # longer images are shrunk to this, none is enlarged
MIN_BOX_SIDE = 64  # in pixels of the network's input: smaller boxes are seen with what is around
STRIDES = (16, 32)
VECTOR_LENGTH = sum(Lite0Backbone.out_channels[1:])
IMAGE_VECTOR_LENGTH = Lite0Backbone.out_channels[-1]
_ROI_SIDE = 3  # bins of a box in each direction
_SAMPLES_PER_BIN = 2
_MIN_INPUT_SIDE = 32
_RECIPE = (
    f"lite0 strides {STRIDES} side {MAX_SIDE} box {MIN_BOX_SIDE} "
    f"roi {_ROI_SIDE} samples {_SAMPLES_PER_BIN}"
)


class Description(NamedTuple):
    """
    What an image and boxes of it show, as unit vectors, up to rounding.

    Attributes:
        regions: float16 [N, 432], one for each box.
        image: float16 [320], the mean of the whole image at stride 32; copies of one picture have
            nearly the same.
    """

    regions: Tensor
    image: Tensor


class RegionNetwork:
    """
    An ImageNet backbone that turns boxes into unit vectors.

    A vector is the mean over a box of the feature maps at strides 16 and 32, each scaled to unit
    length. It depends on the pixels and the box alone, not on a detector or on other boxes. A box
    with a side below two cells of the coarser map is widened to that about its centre.

    Attributes:
        digest: SHA-256 of the weights and of the way from pixels to vectors; vectors of equal
            digests may be compared.
    """

    def __init__(self) -> None:
        weights = lite0_imagenet_weights()
        self._backbone = Lite0Backbone().eval()
        names = self._backbone.state_dict().keys()
        self._backbone.load_state_dict({name: weights[name] for name in names})
        self._backbone.to(memory_format=torch.channels_last)
        self.digest = _digest({name: weights[name] for name in names})

    def describe_file(
        self, data: bytes, boxes: Tensor, *, max_pixels: int = MAX_PIXELS
    ) -> Description:
        """Describe an encoded image and boxes of it. Raises what `decode` raises."""
        header, pixels = decode_file(data, _input_size, max_pixels=max_pixels)
        return self.describe(pixels, boxes, (header.height, header.width))

    def vectors(
        self, pixels: Tensor, boxes: Tensor, original_size: tuple[int, int] | None = None
    ) -> Tensor:
        """Return one vector for each box, as `describe` does."""
        return self.describe(pixels, boxes, original_size).regions

    @torch.inference_mode()
    def describe(
        self, pixels: Tensor, boxes: Tensor, original_size: tuple[int, int] | None = None
    ) -> Description:
        """
        Return one vector for each box, and one for the whole image.

        Args:
            pixels: uint8 [3, H, W], upright RGB.
            boxes: float [N, 4], xyxy in pixels of the original image; they are cut to it.
            original_size: (height, width) of the upright image, if `pixels` is a smaller copy.

        Raises:
            ValueError: A shape is another one, or a box is not finite.
        """
        if boxes.ndim != 2 or boxes.shape[1] != 4 or not boxes.isfinite().all():
            raise ValueError(f"boxes must be finite and of shape [N, 4], not {list(boxes.shape)}")
        original_size = original_size or (pixels.shape[1], pixels.shape[2])
        size = _input_size(*original_size)
        maps = self._backbone(_network_input(pixels, size))[1:]
        regions = _regions(boxes.float() * box_scale(original_size, size), size)
        whole = functional.normalize(maps[-1].mean(dim=(2, 3))).squeeze(0)
        return Description(
            _normalised_means(maps, regions).to(torch.float16), whole.to(torch.float16)
        )


def _network_input(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    image = pixels.unsqueeze(0)
    if size != image.shape[-2:]:
        image = functional.interpolate(
            image, size=size, mode="bilinear", align_corners=False, antialias=True
        )
    image = (image.float() - 127) / 128  # as the weights were trained
    return image.contiguous(memory_format=torch.channels_last)


def _normalised_means(maps: list[Tensor], regions: Tensor) -> Tensor:
    parts = [
        functional.normalize(
            roi_align(
                level,
                [regions],
                _ROI_SIDE,
                spatial_scale=1 / stride,
                sampling_ratio=_SAMPLES_PER_BIN,
                aligned=True,
            ).mean(dim=(2, 3))
        )
        for level, stride in zip(maps, STRIDES, strict=True)
    ]
    return torch.cat(parts, dim=1) / math.sqrt(len(parts))


def _regions(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Widen small boxes about their centres, and cut all to an input of (height, width)."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=MIN_BOX_SIDE / 2)
    limits = torch.tensor([size[1], size[0]], dtype=torch.float32)
    low = torch.minimum((centres - halves).clamp(min=0), limits - 1)
    high = torch.maximum(torch.minimum(centres + halves, limits), low + 1)
    return torch.cat([low, high], dim=1)


def _input_size(height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) that an image is resized to for the network."""
    scale = min(1.0, MAX_SIDE / max(height, width))
    return (
        max(_MIN_INPUT_SIDE, round(height * scale)),
        max(_MIN_INPUT_SIDE, round(width * scale)),
    )


def _digest(weights: dict[str, Tensor]) -> str:
    digest = sha256(_RECIPE.encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
