"""
Proof of scans by several processes, on Postgres.

`pair` scores the same images by one scanner with all threads, and by two with half of them each. It
prints the images per second between the first score and the last, and the share of each process.
`faults` kills one of two scanners of a job, and stops another for longer than its lease. It prints
how soon its ranges were claimed again, and checks that every image has one row and that the stopped
process ended no range that it had lost. `claims` claims 100,000 ranges by four processes.

    python -m benchmarks.scan pair faults claims
"""

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from fastapi.testclient import TestClient
from sqlalchemy import Engine, func, select, text

from benchmarks.pictures import jpegs
from models.detectors import build
from models.detectors.checkpoint import save_checkpoint
from service.app import create_app
from service.db import open_engine, open_sessions
from service.logs import set_up_logs
from service.scans import store
from service.scans.planning import cut_into_ranges, range_size
from service.scans.store import IdRange, Scan
from service.settings import Settings
from service.tables import ImageScore, ScanRange
from tests.databases import migrate, postgres_database, postgres_server

UPLOAD = 500
NUM_CLAIMED = 100_000
NUM_CLAIMERS = 4
WAIT_S = 900.0


@dataclass(frozen=True, slots=True)
class Installation:
    """A database and a folder, with images that no version has scored."""

    client: TestClient
    engine: Engine
    settings: Settings
    num_images: int

    def add_version(self, network: str) -> int:
        """Add another version of an untrained detector: any scores will do here."""
        names = [f"version-{uuid4().hex[:8]}", *(f"class-{number}" for number in range(1, 10))]
        path = self.settings.data_dir / "checkpoint.safetensors"
        save_checkpoint(build(network, class_names=names), path)
        with path.open("rb") as file:
            answer = self.client.post(
                "/model-versions", files={"checkpoint": file}, data={"name": names[0]}
            )
        if not answer.is_success:
            raise RuntimeError(answer.text)
        return int(answer.json()["id"])

    def plan(self, scan: Scan) -> None:
        sessions = open_sessions(self.engine)
        for ranges in cut_into_ranges(sessions, scan, ["pool"], range_size(self.num_images)):
            with sessions.begin() as session:
                store.add_ranges(session, scan, ranges)

    def num_scored(self, version_id: int) -> int:
        count = select(func.count()).where(ImageScore.model_version_id == version_id)
        with open_sessions(self.engine).begin() as session:
            return session.scalars(count).one()

    @contextmanager
    def scanners(self, count: int, threads: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
        environment = os.environ | {
            "HARDNEG_DATA_DIR": str(self.settings.data_dir),
            "HARDNEG_DATABASE_URL": self.settings.database_url,
            "HARDNEG_SCAN_LEASE_S": str(self.settings.scan_lease_s),
            "HARDNEG_DECODE_THREADS": str(threads),
            "HARDNEG_BACKEND": "eager",
            "HARDNEG_DEVICE": "cpu",
            "HARDNEG_LOG_LEVEL": "warning",
            "OMP_NUM_THREADS": str(threads),
        }
        command = [sys.executable, "-m", "hardneg", "worker", "--lanes", "scan"]
        processes = [
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(count)
        ]
        try:
            yield processes
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                if process.returncode is None:  # else its output was read
                    process.communicate()


@contextmanager
def installed(num_images: int, lease_s: float) -> Iterator[Installation]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        url = stack.enter_context(postgres_database(stack.enter_context(postgres_server())))
        migrate(url)
        settings = Settings(
            data_dir=folder,
            database_url=url.render_as_string(hide_password=False),
            embedded_worker=False,
            scan_lease_s=lease_s,
        )
        engine = open_engine(settings.sqlalchemy_url)
        stack.callback(engine.dispose)
        client = stack.enter_context(TestClient(create_app(settings), base_url="http://localhost"))
        images = jpegs(num_images, 10, (320, 240))
        for start in range(0, num_images, UPLOAD):
            files = [("files", data) for data in images[start : start + UPLOAD]]
            client.post("/images", files=files).raise_for_status()
        yield Installation(client, engine, settings, num_images)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the scan did not get on")
        time.sleep(0.05)


def pair(installation: Installation, network: str, threads: int) -> None:
    rates = []
    for count in (1, 2):
        scan = Scan(None, installation.add_version(network))
        installation.plan(scan)
        with installation.scanners(count, threads // count):
            wait_until(
                lambda scan=scan: (  # type: ignore[misc]  # it is called within this turn
                    installation.num_scored(scan.version_id) == installation.num_images
                )
            )
        with installation.engine.begin() as connection:
            rate = connection.scalar(
                text(
                    "SELECT count(*) / extract(epoch FROM max(scored_at) - min(scored_at)) "
                    "FROM image_scores WHERE model_version_id = :version_id"
                ),
                {"version_id": scan.version_id},
            )
            shares = connection.scalars(
                text(
                    "SELECT sum(until_id - after_id)::float / :total FROM scan_ranges "
                    "WHERE model_version_id = :version_id GROUP BY worker"
                ),
                {"version_id": scan.version_id, "total": installation.num_images},
            ).all()
            connection.execute(text("DELETE FROM scan_ranges"))
        rates.append(float(rate))
        shown = ", ".join(f"{share:.0%}" for share in shares)
        print(f"{count} scanner(s): {rates[-1]:.1f} images/s, shares {shown}", flush=True)
    print(f"two over one: {rates[1] / rates[0]:.2f}", flush=True)


def faults(installation: Installation, network: str) -> None:
    lease_s = installation.settings.scan_lease_s
    for number, name in ((signal.SIGKILL, "killed"), (signal.SIGSTOP, "stopped")):
        version_id = installation.add_version(network)
        with installation.scanners(2, 1) as (first, second):
            answer = installation.client.post("/scans", json={"model_version": str(version_id)})
            job_id = answer.json()["id"]
            owner = _wait_for_helper(installation, job_id)
            victim = second if owner == first.pid else first
            held = _held_by(installation, victim.pid)
            victim.send_signal(number)
            sent = time.monotonic()
            wait_until(lambda held=held: _claimed_again(installation, held))  # type: ignore[misc]
            retaken_s = time.monotonic() - sent
            if number == signal.SIGSTOP:
                victim.send_signal(signal.SIGCONT)
            wait_until(
                lambda job_id=job_id: (  # type: ignore[misc]
                    installation.client.get(f"/jobs/{job_id}").json()["status"] == "done"
                )
            )
            time.sleep(2)  # the stopped process finds out what it has lost
            victim.terminate()
            lost = victim.communicate()[1].count(b"range lost")
        num_scored = installation.num_scored(version_id)
        print(
            f"{name}: {num_scored} of {installation.num_images} images have one row; its "
            f"{len(held)} ranges were claimed again {retaken_s:.1f} s later (lease {lease_s:g} s)"
            + (f"; it was refused {lost} ranges" if number == signal.SIGSTOP else ""),
            flush=True,
        )


def _wait_for_helper(installation: Installation, job_id: int) -> int:
    """Wait until both processes score; return the id of the one that runs the job."""

    def is_shared() -> bool:
        with open_sessions(installation.engine).begin() as session:
            running = select(ScanRange.worker).where(ScanRange.status == "running").distinct()
            return len(session.scalars(running).all()) == 2

    wait_until(is_shared)
    worker = installation.client.get(f"/jobs/{job_id}").json()["worker"]
    return int(worker.rpartition(":")[2])


def _held_by(installation: Installation, process_id: int) -> dict[int, int]:
    """Return the attempts of the ranges that a process holds, by id."""
    with open_sessions(installation.engine).begin() as session:
        rows = session.execute(
            select(ScanRange.id, ScanRange.attempt).where(
                ScanRange.status == "running", ScanRange.worker.endswith(f":{process_id}")
            )
        )
        return {row.id: row.attempt for row in rows}


def _claimed_again(installation: Installation, held: dict[int, int]) -> bool:
    with open_sessions(installation.engine).begin() as session:
        rows = session.execute(
            select(ScanRange.id, ScanRange.attempt).where(ScanRange.id.in_(held))
        ).all()
    return all(attempt > held[range_id] for range_id, attempt in rows)


def claims(installation: Installation, network: str) -> None:
    scan = Scan(None, installation.add_version(network))
    ranges = [IdRange("pool", number, number + 1) for number in range(NUM_CLAIMED)]
    with open_sessions(installation.engine).begin() as session:
        store.add_ranges(session, scan, ranges)
    url = installation.settings.sqlalchemy_url
    context = multiprocessing.get_context("spawn")
    with context.Pool(NUM_CLAIMERS) as pool:
        taken = pool.starmap(_claim_all, [(url, scan)] * NUM_CLAIMERS, chunksize=1)
    seconds = max(end for _, end, _ in taken) - min(start for start, _, _ in taken)
    claimed = [range_id for _, _, ids in taken for range_id in ids]
    print(
        f"{len(claimed)} claims of {NUM_CLAIMED} ranges, {len(claimed) - len(set(claimed))} of "
        f"them twice: {len(claimed) / seconds:.0f} per second by {NUM_CLAIMERS} processes"
    )


def _claim_all(url: str, scan: Scan) -> tuple[float, float, list[int]]:
    engine = open_engine(url, pool_size=1)
    sessions = open_sessions(engine)
    claimed: list[int] = []
    start = time.time()
    while True:
        with sessions.begin() as session:
            found = store.claim(session, scan, str(os.getpid()), lease_s=3600)
        if found is None:
            engine.dispose()
            return start, time.time(), claimed
        claimed.append(found.id)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=["pair", "faults", "claims"])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--network", default="ssdlite320_mobilenet_v3_large")
    parser.add_argument("--threads", type=int, default=2, help="of all scanners (default 2)")
    parser.add_argument("--lease", type=float, default=5.0, help="in s (default 5)")
    arguments = parser.parse_args()
    set_up_logs("warning", "json")
    parts = arguments.parts or ["pair", "faults", "claims"]
    with installed(arguments.images if parts != ["claims"] else 0, arguments.lease) as installation:
        if "pair" in parts:
            pair(installation, arguments.network, arguments.threads)
        if "faults" in parts:
            faults(installation, arguments.network)
        if "claims" in parts:
            claims(installation, arguments.network)


if __name__ == "__main__":
    main()
