"""A trainer that is not ours: a tiny network of squares, written to ONNX files."""

import io
import warnings
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from tests.scenes import RED, SIDE, Box, encoded, scene

STRIDE = 16
CELLS = SIDE // STRIDE

LABELLED_SEEDS = range(100, 140)

Example = tuple[bytes, Box | None]  # an image file and its object, if it has one


def labelled_examples(seeds: Iterable[int]) -> list[Example]:
    """Return scenes with a red square each."""
    scenes = [scene(seed, RED) for seed in seeds]
    return [(encoded(pixels), box) for pixels, box in scenes]


class SquareNetwork(nn.Module):
    """One class and one box for each cell of a grid, in the layout of YOLOv8."""

    def __init__(self) -> None:
        super().__init__()
        steps = [(3, 24, 8, 8), (24, 24, 3, 2), (24, 24, 3, 1), (24, 24, 3, 1)]
        layers: list[nn.Module] = []
        for before, after, kernel, stride in steps:
            padding = 0 if kernel == stride else 1
            layers += [nn.Conv2d(before, after, kernel, stride, padding), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(24, 5, 1)
        rows, columns = torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), indexing="ij")
        self.register_buffer("corners", torch.stack([columns, rows]).float())

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, 3, H, W] in 0..1 to boxes cxcywh in cells [B, 4, h, w], logits [B, h, w]."""
        outputs = self.head(self.body(images - 0.5))
        centres = self.corners + outputs[:, :2].sigmoid()
        sides = CELLS * outputs[:, 2:4].sigmoid()
        return torch.cat([centres, sides], dim=1), outputs[:, 4]

    def forward(self, images: Tensor) -> Tensor:
        boxes, logits = self.raw(images)
        return torch.cat([boxes * STRIDE, logits.sigmoid().unsqueeze(1)], dim=1).flatten(2)


def train(
    examples: Sequence[Example], *, start: SquareNetwork | None = None, steps: int = 150
) -> SquareNetwork:
    """Train a network, new or from `start`, on batches of 16 and with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the network is too small for more
    try:
        return _train(examples, start, steps)
    finally:
        torch.set_num_threads(before)


def _train(examples: Sequence[Example], start: SquareNetwork | None, steps: int) -> SquareNetwork:
    torch.manual_seed(0)
    network = SquareNetwork() if start is None else deepcopy(start)
    images = torch.stack([_pixels(content) for content, _ in examples])
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(steps):
        chosen = torch.randint(len(examples), (16,))
        loss = _loss(network, images[chosen], [examples[index][1] for index in chosen.tolist()])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    return network.eval()


def _pixels(content: bytes) -> Tensor:
    pixels = np.array(Image.open(io.BytesIO(content)).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255


def _loss(network: SquareNetwork, images: Tensor, objects: Sequence[Box | None]) -> Tensor:
    boxes, logits = network.raw(images)
    target = torch.zeros_like(logits)
    distances = [torch.zeros(())]
    for number, box in enumerate(objects):
        if box is None:
            continue
        x1, y1, x2, y2 = (side / STRIDE for side in box)
        column, row = int((x1 + x2) / 2), int((y1 + y2) / 2)
        target[number, row, column] = 1
        wanted = torch.tensor([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])
        distances.append(functional.smooth_l1_loss(boxes[number, :, row, column], wanted))
    weight = torch.tensor(4.0)
    found = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)
    return 60 * found + torch.stack(distances).mean()


def export(network: SquareNetwork, path: Path) -> bytes:
    """Write a network as an ONNX file that takes batches, and return its bytes."""
    axes = {name: {0: "batch"} for name in ("images", "output0")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is deprecated
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 3, SIDE, SIDE),),
            path,
            input_names=["images"],
            output_names=["output0"],
            dynamic_axes=axes,
            dynamo=False,
        )
    return path.read_bytes()
