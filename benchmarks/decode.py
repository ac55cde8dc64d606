"""
Decoding of large photographs for a detector's input: ours against a full decode by Pillow.

A photograph is a mosaic of the photographs that come with scikit-image and scikit-learn, at their
own resolution, saved as a JPEG of 12 megapixels: finer detail than most cameras give. Both sides
start from the same bytes and end at pixels of the network's size. They run in turns; the ratio is
the median of the turns' ratios. "Difference" is the mean absolute difference, of 255, between ours
and a full decode with an antialiased resize.

    python -m benchmarks.decode
"""

import argparse
import io
import statistics
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from benchmarks.timing import compare
from hardneg.demo.scenes import LABELLED_PHOTOGRAPHS, POOL_PHOTOGRAPHS, read_photograph
from models.data.images import decode
from models.detectors import Detector, PreparedImage, build
from models.inference.predict import prepare

WIDTH, HEIGHT = 4000, 3000
NETWORKS = (
    ("ssd_efficientnet_lite0", (256, 256)),
    ("ssdlite320_mobilenet_v3_large", (320, 320)),
    ("ssd300_vgg16", (300, 300)),
    ("fasterrcnn_mobilenet_v3_large_320_fpn", (320, 640)),
    ("retinanet_resnet50_fpn_v2", (800, 1333)),
)


def photograph(seed: int) -> bytes:
    """Make a JPEG of 4000 × 3000 pixels."""
    random = np.random.default_rng(seed)
    tiles = [read_photograph(*place) for place in LABELLED_PHOTOGRAPHS + POOL_PHOTOGRAPHS]
    canvas = Image.new("RGB", (WIDTH, HEIGHT))
    top = 0
    while top < HEIGHT:
        left, bottom = -int(random.integers(300)), HEIGHT
        while left < WIDTH:
            tile = tiles[int(random.integers(len(tiles)))]
            canvas.paste(tile, (left, top))
            left, bottom = left + tile.width, min(bottom, top + tile.height)
        top = bottom
    out = io.BytesIO()
    canvas.save(out, "JPEG", quality=90)
    return out.getvalue()


def full_decode(data: bytes) -> Tensor:
    """As most loaders do it: uint8 [3, H, W], contiguous."""
    pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def prepare_in_full(detector: Detector, data: bytes) -> PreparedImage:
    return detector.preprocess(full_decode(data))


def difference(detector: Detector, data: bytes) -> float:
    """Of 255, against a full decode and an antialiased resize."""
    ours = prepare(detector, data).pixels.float()
    exact = functional.interpolate(
        full_decode(data).unsqueeze(0).float(), ours.shape[1:], mode="bilinear", antialias=True
    )
    return float((ours - exact[0]).abs().mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9, help="of each side (default 9)")
    parser.add_argument("--photographs", type=int, default=3, help="for the difference (default 3)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    photographs = [photograph(seed) for seed in range(arguments.photographs)]
    data = photographs[0]
    print(f"one thread, {WIDTH} × {HEIGHT} pixels, {len(data) / 1e6:.1f} MB of JPEG, quality 90\n")
    print("| from bytes to | ours, ms | Pillow in full, ms | ratio (quartiles) | difference |")
    print("| --- | --- | --- | --- | --- |")
    proof = compare(
        partial(decode, data, enough=(1, 1)), partial(full_decode, data), arguments.repeats
    )
    print(f"| proof that it is whole, as an import does | {proof.cells()} | |")
    for name, size in NETWORKS:
        detector = build(name, ["thing"], input_size=size)
        timing = compare(
            partial(prepare, detector, data),
            partial(prepare_in_full, detector, data),
            arguments.repeats,
        )
        off = statistics.mean(difference(detector, jpeg) for jpeg in photographs)
        print(f"| {name}, {size[0]} × {size[1]} | {timing.cells()} | {off:.2f} |", flush=True)


if __name__ == "__main__":
    main()
