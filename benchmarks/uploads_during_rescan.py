"""
How long one upload takes while the pool is rescanned, against an idle service.

One client sends one JPEG of 640 × 480 after another to `POST /images`; in turns, the service is
idle, or has just activated another version and works down its pool. The ratios are those of the
99th percentiles and of the medians, within a turn.

    python -m benchmarks.uploads_during_rescan
"""

import argparse
import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.pictures import jpegs
from benchmarks.scenes import trained
from benchmarks.service import numbered
from benchmarks.service_process import activate, hardneg_server, wait_until_scored
from benchmarks.upload_load import upload
from models.detectors import Detector
from models.detectors.checkpoint import save_checkpoint

NETWORK = "ssdlite320_mobilenet_v3_large"
NUM_CLASSES = 90
REQUEST = 250


def percentiles(latencies: Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile, in ms."""
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return 1e3 * cuts[49], 1e3 * cuts[98]


def fill(client: httpx.Client, num_images: int) -> None:
    images = jpegs(num_images, NUM_CLASSES)
    for start in range(0, num_images, REQUEST):
        files = [("files", data) for data in images[start : start + REQUEST]]
        client.post("/images", files=files, headers={"Prefer": "respond-async"}).raise_for_status()
    wait_until_scored(client)


def another_version(detector: Detector, number: int, folder: Path) -> Path:
    """Save the same detector under another class name, so that its file differs."""
    names = (f"version {number}", *detector.spec.class_names[1:])
    detector.spec = dataclasses.replace(detector.spec, class_names=names)
    path = folder / "version.safetensors"
    save_checkpoint(detector, path)
    return path


def is_rescanning(client: httpx.Client) -> bool:
    pool = client.get("/hard-negatives", params={"n": 1}).json()["pool"]
    return bool(pool["scored"] < pool["images"] - 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=3, help="of each (default 3)")
    parser.add_argument("--seconds", type=float, default=6, help="of a turn (default 6)")
    parser.add_argument("--images", type=int, default=1000, help="in the pool (default 1000)")
    parser.add_argument("--models", type=Path, default=Path("runs/benchmarks"))
    arguments = parser.parse_args()
    images = numbered(jpegs(64, NUM_CLASSES))
    print(
        f"{NETWORK}, {NUM_CLASSES + 1} classes, SQLite, a pool of {arguments.images} images, "
        f"{arguments.turns} turns of {arguments.seconds} s; ms\n"
    )
    print("| turn | uploads | idle p50 | idle p99 | rescan p50 | rescan p99 | p50 | p99 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    ratios = []
    detector = trained(NETWORK, NUM_CLASSES, arguments.models)
    with TemporaryDirectory() as folder:
        first = another_version(detector, 0, Path(folder))
        with hardneg_server(first) as (server, client):
            fill(client, arguments.images)
            for turn in range(1, arguments.turns + 1):
                upload(server.port, images, clients=1, seconds=1)
                idle = upload(server.port, images, clients=1, seconds=arguments.seconds).latencies
                activate(client, another_version(detector, turn, Path(folder)), f"turn-{turn}")
                busy = upload(server.port, images, clients=1, seconds=arguments.seconds).latencies
                note = "" if is_rescanning(client) else " (the rescan ended before)"
                (p50, p99), (busy_p50, busy_p99) = percentiles(idle), percentiles(busy)
                times = busy_p50 / p50, busy_p99 / p99
                ratios.append(times)
                print(
                    f"| {turn}{note} | {len(idle)} + {len(busy)} | {p50:.0f} | {p99:.0f} | "
                    f"{busy_p50:.0f} | {busy_p99:.0f} | {times[0]:.1f} | {times[1]:.1f} |",
                    flush=True,
                )
                wait_until_scored(client)
    p50, p99 = (statistics.median(values) for values in zip(*ratios, strict=True))
    print(f"\nmedian ratio of p50 {p50:.1f}, of p99 {p99:.1f} (target ≤ 3)")


if __name__ == "__main__":
    main()
