"""JPEGs for the benchmarks of the service: as many as wanted, no two of the same bytes."""

import io

from PIL import Image

from benchmarks.scenes import scene

NUM_SCENES = 64
QUALITY = 80


def jpegs(num_images: int, num_kinds: int, size: tuple[int, int] = (640, 480)) -> list[bytes]:
    """
    Every other one with a square of one of the kinds, at `size` (width, height).

    They are 64 pictures over and over, with a comment of their own in the file.
    """
    scenes = [_encoded(index, num_kinds, size) for index in range(min(num_images, NUM_SCENES))]
    return [_commented(scenes[index % NUM_SCENES], index) for index in range(num_images)]


def _encoded(index: int, num_kinds: int, size: tuple[int, int]) -> bytes:
    kind = None if index % 2 else index // 2 % num_kinds
    picture = Image.fromarray(scene(10**6 + index, kind)[0])
    out = io.BytesIO()
    picture.resize(size).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _commented(jpeg: bytes, number: int) -> bytes:
    """With a comment right behind the marker that starts a JPEG."""
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + jpeg[2:]
