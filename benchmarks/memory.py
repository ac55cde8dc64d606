"""
Memory of the service after importing 1,000 images and after importing many more.

Small JPEGs are written to a folder, which `POST /imports` reads; the worker stores them and the
service scores them with a small detector. Printed is the resident memory of the service and of its
worker, each when all is stored and scored, and the most that each had until then.

    python -m benchmarks.memory --images 100000
"""

import argparse
import io
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import torch
from PIL import Image

from benchmarks.service_process import activate, hardneg_server, wait_until_scored
from models.detectors import build
from models.detectors.checkpoint import save_checkpoint

FIRST = 1000
SIDE = 64
PER_FOLDER = 5000


def write_images(folder: Path, numbers: range) -> None:
    """JPEGs of 64 × 64 pixels, each of one colour with a little noise."""
    noise = np.random.default_rng(0).integers(0, 16, (SIDE, SIDE, 3))
    for number in numbers:
        colour = np.random.default_rng(number).integers(0, 240, 3)
        out = io.BytesIO()
        Image.fromarray((noise + colour).astype(np.uint8)).save(out, "JPEG")
        path = folder / str(number // PER_FOLDER) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(out.getvalue())


def memory_mb(process_id: int) -> tuple[float, float]:
    """Resident memory of a process now, and the most that it had."""
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    now, most = (int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def child_of(process_id: int) -> int:
    children = Path(f"/proc/{process_id}/task/{process_id}/children")
    threads = Path(f"/proc/{process_id}/task").glob("*/children")
    ids = " ".join(path.read_text(encoding="ascii") for path in (children, *threads)).split()
    return int(ids[0])


def import_folder(client: httpx.Client, folder: Path) -> None:
    answer = client.post("/imports", json={"uri": str(folder)})
    answer.raise_for_status()
    path = answer.headers["Location"]
    while (job := client.get(path).raise_for_status().json())["status"] != "done":
        if job["status"] in ("failed", "cancelled"):
            raise RuntimeError(job["failure"])
        time.sleep(0.2)
    wait_until_scored(client)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000, help="in all (default 10,000)")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    detector = build("ssd_small", ["thing"], input_size=(SIDE, SIDE)).eval()
    with TemporaryDirectory(prefix="hardneg-bench-") as name:
        folder = Path(name) / "images"
        checkpoint = Path(name) / "checkpoint.safetensors"
        save_checkpoint(detector, checkpoint)
        settings = {"HARDNEG_EMBEDDED_WORKER": "true", "HARDNEG_IMPORT_ROOTS": str(folder)}
        with hardneg_server(settings=settings) as (server, client):
            activate(client, checkpoint, "first")
            worker = child_of(server.id)
            found: list[list[tuple[float, float]]] = []
            done = 0
            for num_images in (FIRST, arguments.images):
                write_images(folder, range(done, num_images))
                started = time.perf_counter()
                import_folder(client, folder)
                rate = (num_images - done) / (time.perf_counter() - started)
                done = num_images
                found.append([memory_mb(process_id) for process_id in (server.id, worker)])
                cells = ", ".join(
                    f"{part} {now:.0f} MB (most {most:.0f})"
                    for part, (now, most) in zip(("service", "worker"), found[-1], strict=True)
                )
                print(f"{done} images: {cells}; {rate:.0f} images/s", flush=True)
    for part, first, last in zip(("service", "worker"), *found, strict=True):
        print(f"{part}: {last[0] / first[0]:.2f} times the memory (target ≤ 1.15)")


if __name__ == "__main__":
    main()
