"""A data set that a tiny detector learns in seconds: bright squares on grey."""

import io

import torch
from PIL import Image
from torch import Tensor

from models.data.datasets import LabelledImage
from models.data.ground_truth import GroundTruth
from models.detectors import Detector, build

SIDE = 64


def tiny_detector(seed: int = 0) -> Detector:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build("ssd_small", ["square"], input_size=(SIDE, SIDE))


def squares(count: int, seed: int = 0) -> list[LabelledImage]:
    """Draw images with one bright square each."""
    generator = torch.Generator().manual_seed(seed)
    images = []
    for index in range(count):
        pixels = _noise(generator)
        size, x, y = (int(v) for v in torch.randint(16, 33, (3,), generator=generator))
        x, y = min(x, SIDE - size), min(y, SIDE - size)
        pixels[:, y : y + size, x : x + size] = 240
        box = torch.tensor([[x, y, x + size, y + size]], dtype=torch.float32)
        truth = GroundTruth(box, torch.ones(1, dtype=torch.int64))
        images.append(LabelledImage(f"square-{seed}-{index}", _encoded(pixels).__bytes__, truth))
    return images


def negatives(count: int, seed: int = 100) -> list[LabelledImage]:
    """Draw images of noise, each with a bright disc that resembles a square."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    images = []
    for index in range(count):
        pixels = _noise(generator)
        x, y = (int(v) for v in torch.randint(16, 48, (2,), generator=generator))
        pixels[:, (rows - y) ** 2 + (columns - x) ** 2 < 100] = 240
        images.append(LabelledImage.negative(f"disc-{seed}-{index}", _encoded(pixels).__bytes__))
    return images


def _noise(generator: torch.Generator) -> Tensor:
    return torch.randint(60, 120, (3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def _encoded(pixels: Tensor) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(content, "PNG")
    return content.getvalue()
