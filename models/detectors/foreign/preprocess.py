"""Images of any sides to the input of an ONNX file, and boxes back to the image."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.detectors.detector import Placement, PreparedImage
from models.detectors.foreign.resize import resize_pixels
from models.detectors.foreign.spec import ChannelOrder, ForeignSpec, Resize


def prepare_pixels(spec: ForeignSpec, image: Tensor) -> PreparedImage:
    """
    Resize and pad one image to the network's input size; uint8 [3, H, W] to uint8 [3, h, w].

    See `resize_pixels` for the rounding of pixels.
    """
    height, width = image.shape[1:]
    inner, placement = place(spec, (height, width))
    resized = resize_pixels(image, inner, antialias=spec.antialias)
    if inner == spec.input_size:
        return PreparedImage(resized, (height, width), placement)
    canvas = torch.full((3, *spec.input_size), spec.pad_value, dtype=torch.uint8)
    left, top = int(placement.offset[0]), int(placement.offset[1])
    canvas[:, top : top + inner[0], left : left + inner[1]] = resized
    return PreparedImage(canvas, (height, width), placement)


def place(spec: ForeignSpec, size: tuple[int, int]) -> tuple[tuple[int, int], Placement]:
    """
    Return the (height, width) that an image is resized to, and where it lies in the input.

    Source:
        letterbox: ultralytics/data/augment.py `LetterBox`; letterbox-top-left: YOLOX
        `data/data_augment.py` `preproc`.
    """
    (height, width), (input_height, input_width) = size, spec.input_size
    if spec.resize is Resize.STRETCH:
        return spec.input_size, Placement((width / input_width, height / input_height))
    scale = min(input_height / height, input_width / width)
    if spec.resize is Resize.LETTERBOX_TOP_LEFT:
        inner = max(1, int(height * scale)), max(1, int(width * scale))
        return inner, Placement((width / inner[1], height / inner[0]))
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    left = round((input_width - inner[1]) / 2 - 0.1)
    top = round((input_height - inner[0]) / 2 - 0.1)
    return inner, Placement((width / inner[1], height / inner[0]), (max(0, left), max(0, top)))


def collate_pixels(
    spec: ForeignSpec, images: Sequence[PreparedImage], *, dtype: str, channels_last: bool
) -> NDArray[np.generic]:
    """Return a batch [B, 3, h, w], or [B, h, w, 3], in the type that the file takes."""
    batch = torch.stack([image.pixels for image in images])
    if spec.channel_order is ChannelOrder.BGR:
        batch = batch.flip(1)
    if dtype != "uint8":
        mean = torch.tensor(spec.image_mean).view(3, 1, 1)
        std = torch.tensor(spec.image_std).view(3, 1, 1)
        batch = ((batch.float() - mean) / std).to(getattr(torch, dtype))
    if channels_last:
        batch = batch.permute(0, 2, 3, 1)
    array: NDArray[np.generic] = np.ascontiguousarray(batch.numpy())
    return array
