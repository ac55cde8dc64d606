"""Small pictures for tests: squares on noise, which a small detector learns in seconds."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.detectors import build
from models.detectors.checkpoint import save_checkpoint

SIDE = 160
RED, ORANGE, BLUE = (230, 30, 30), (230, 110, 30), (30, 60, 220)

Box = tuple[int, int, int, int]


def scene(seed: int, colour: tuple[int, int, int] | None) -> tuple[np.ndarray, Box | None]:
    """Noise, uint8 [160, 160, 3], with one square of a colour, and the square's xyxy box."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 160, (SIDE, SIDE, 3), dtype=np.uint8)
    if colour is None:
        return pixels, None
    side = int(rng.integers(30, 60))
    x, y = (int(v) for v in rng.integers(0, SIDE - side, 2))
    pixels[y : y + side, x : x + side] = colour
    return pixels, (x, y, x + side, y + side)


def encoded(pixels: np.ndarray, image_format: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, image_format)
    return out.getvalue()


def scene_bytes(seed: int, colour: tuple[int, int, int] | None = None) -> bytes:
    return encoded(scene(seed, colour)[0])


def striped_bytes(seed: int, colour: tuple[int, int, int]) -> bytes:
    """Return the scene with stripes in place of noise: what lies around the square differs."""
    pixels, box = scene(seed, colour)
    assert box is not None
    x1, y1, x2, y2 = box
    stripes = np.zeros_like(pixels)
    stripes[:, np.arange(SIDE) // 16 % 2 == 0] = 255
    stripes[y1:y2, x1:x2] = colour
    return encoded(stripes)


def train_red_square_detector(path: Path, *, seed: int = 0, steps: int = 40) -> None:
    """Train a detector of red and blue squares, which orange ones fool a little, and save it."""
    torch.manual_seed(seed)
    detector = build("ssd_small", ("red", "blue")).train()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=2e-3)
    for step in range(steps):
        images, targets = [], []
        for k in range(8):
            label = 1 + k % 2
            pixels, box = scene(1_000 + 8 * step + k, (RED, BLUE)[label - 1])
            images.append(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
            targets.append({"boxes": torch.tensor([box]).float(), "labels": torch.tensor([label])})
        loss = torch.stack(list(detector(images, targets).values())).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    save_checkpoint(detector.eval(), path)
