"""
How long `hardneg --help` takes, and `hardneg serve` until it can score with an ssdlite320.

Each is a process of its own, started again and again over the same SQLite database and blobs;
"ready" is the first 200 of `GET /readyz`.

    python -m benchmarks.startup
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.scenes import trained
from benchmarks.service_process import activate, hardneg_server, wait_until
from models.detectors.checkpoint import save_checkpoint

NETWORK = "ssdlite320_mobilenet_v3_large"


def help_seconds() -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", "hardneg", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def ready_seconds(folder: Path) -> float:
    start = time.perf_counter()
    with hardneg_server(data_dir=folder) as (server, client):
        wait_until(lambda: client.get("/readyz").is_success, server.popen)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5, help="of each (default 5)")
    parser.add_argument("--models", type=Path, default=Path("runs/benchmarks"))
    arguments = parser.parse_args()
    detector = trained(NETWORK, 90, arguments.models)
    with TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.safetensors"
        save_checkpoint(detector, checkpoint)
        data = Path(folder) / "data"
        data.mkdir()
        with hardneg_server(data_dir=data) as (_, client):
            activate(client, checkpoint, "first")
        for name, target, times in (
            ("hardneg --help", 0.5, [help_seconds() for _ in range(arguments.turns)]),
            ("hardneg serve, ready", 5, [ready_seconds(data) for _ in range(arguments.turns)]),
        ):
            print(
                f"{name}: {statistics.median(times):.2f} s ({min(times):.2f}-{max(times):.2f}), "
                f"median of {arguments.turns} (target ≤ {target} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
