"""Small images that differ from each other and need no detector."""

import io

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 96, 80


def picture(seed: int) -> bytes:
    """Return a PNG of noise; equal seeds give equal bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
