"""A training in several processes, which torchrun starts: one for each GPU."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from models.inference.device import select_device
from models.training.reports import EpochReport, StepReport, TrainingResult
from service.jobs.running import RunningJob, TransientError, WorkerStopping
from service.settings import Settings
from service.training_runs.rank import RankFolder
from service.training_runs.task import TrainingTask

SAVE_GRACE_S = 20.0  # for the step under way and its state; an embedded worker has 30 s in all
END_GRACE_S = 2.0
POLL_S = 0.05
PIPE_BYTES = 1 << 16


def num_processes(settings: Settings, batch_size: int) -> int:
    """Return how many processes a training has: at most those wanted that can share a batch."""
    device = select_device(settings.device)
    wanted = settings.train_processes
    if device.type == "cuda":
        visible = torch.cuda.device_count() if device.index is None else 1
        wanted = min(wanted or visible, visible)
    elif device.type == "mps":
        wanted = 1
    return max(n for n in range(1, (wanted or 1) + 1) if batch_size % n == 0)


def run_in_processes(
    task: TrainingTask,
    num_processes: int,
    job: RunningJob,
    *,
    on_epoch: Callable[[EpochReport], None],
    on_step: Callable[[StepReport], None],
) -> TrainingResult:
    """
    Run a task in several processes, which have all ended when this returns or raises.

    Raises:
        Stopped: the job was cancelled, or its lease is lost, or its state took too long to save.
        TransientError: a process died, or failed for a reason that may not recur.
        Exception: as `TrainingTask.run`.
    """
    torch.cuda.empty_cache()  # the first process computes on the same GPU as this one
    folder = RankFolder(task.checkpoint_path.with_name("ranks"))
    folder.cache.mkdir(parents=True)
    folder.task.write_bytes(pickle.dumps(task))
    save_until: float | None = None
    with _started(folder, num_processes) as ranks:
        while True:
            is_over = not ranks.are_running
            for report in ranks.reports():
                match report:
                    case {"step": step}:
                        on_step(StepReport(**step))
                    case {"epoch": epoch}:
                        on_epoch(EpochReport(**epoch))
            if is_over:
                break
            if save_until is None:
                save_until = _when_to_end(job, folder)
            elif time.monotonic() > save_until:
                job.raise_if_stopped()
            time.sleep(POLL_S)
    return _result(folder)


def _when_to_end(job: RunningJob, folder: RankFolder) -> float | None:
    """
    Ask the processes to save their state if the worker stops, and return for how long to wait.

    Raises JobCancelled or LeaseLost: nobody needs the state then.
    """
    try:
        job.raise_if_stopped()
    except WorkerStopping:
        folder.stop.touch()
        return time.monotonic() + SAVE_GRACE_S
    return None


def _result(folder: RankFolder) -> TrainingResult:
    try:
        outcome = pickle.loads(folder.outcome.read_bytes())
    except (FileNotFoundError, EOFError, pickle.UnpicklingError) as error:
        raise TransientError("a process of the training died") from error
    if isinstance(outcome, Exception):
        raise outcome
    assert isinstance(outcome, TrainingResult)
    return outcome


@contextmanager
def _started(folder: RankFolder, num_processes: int) -> Iterator["_Ranks"]:
    """Start the processes, and end all that are left."""
    ranks = _Ranks(folder, num_processes)
    try:
        yield ranks
    finally:
        ranks.end()


class _Ranks:
    """
    The processes of one training, and torchrun above them.

    Each rank is in a session of its own and would outlive torchrun. All hold the FIFO of reports
    open, which therefore ends with the last of them, and all end when their standard input does: a
    pipe from this process that never carries data.
    """

    def __init__(self, folder: RankFolder, num_processes: int) -> None:
        os.mkfifo(folder.reports)
        self._fifo = os.open(folder.reports, os.O_RDONLY | os.O_NONBLOCK)
        self._is_held_open = False
        self._unfinished_line = b""
        self._pids: list[int] = []
        command = [sys.executable, "-m", "torch.distributed.run"]
        command += ["--nnodes=1", f"--nproc-per-node={num_processes}", "--local-addr=127.0.0.1"]
        command += ["--rdzv-backend=c10d", "--rdzv-conf=store_type=file"]  # no port
        command += [f"--rdzv-endpoint={folder.rendezvous}"]
        command += ["--module", "service.training_runs.rank", str(folder.path)]
        self._torchrun = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parents[2],  # where `service` is found, installed or not
            env=_environment(num_processes),
            start_new_session=True,
        )

    @property
    def are_running(self) -> bool:
        return self._torchrun.poll() is None

    def reports(self) -> list[dict[str, dict[str, Any]]]:
        """Return what the processes have reported since the last call."""
        *lines, self._unfinished_line = (self._unfinished_line + self._read()).split(b"\n")
        reports = [json.loads(line) for line in lines]
        self._pids += [report.pop("pid") for report in reports if "pid" in report]
        return [report for report in reports if report]

    def end(self) -> None:
        """End torchrun and every process that is left, and wait for them."""
        assert self._torchrun.stdin is not None
        self._torchrun.kill()  # first: it would log the end of each process at length
        self._torchrun.stdin.close()
        self._torchrun.wait()
        self._wait_for_ranks()
        if self._is_held_open:
            for pid in self._pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._wait_for_ranks()
        os.close(self._fifo)

    def _wait_for_ranks(self) -> None:
        deadline = time.monotonic() + END_GRACE_S
        self.reports()
        while self._is_held_open and time.monotonic() < deadline:
            time.sleep(POLL_S)
            self.reports()

    def _read(self) -> bytes:
        """Read what the FIFO holds, and find out whether a process holds it open."""
        chunks: list[bytes] = []
        try:
            while chunk := os.read(self._fifo, PIPE_BYTES):
                chunks.append(chunk)
            self._is_held_open = False
        except BlockingIOError:
            self._is_held_open = True
        return b"".join(chunks)


def _environment(num_processes: int) -> dict[str, str]:
    """Return what the processes need beside this one's environment, which takes precedence."""
    loopback = next(name for _, name in socket.if_nameindex() if name in ("lo", "lo0"))
    return {
        "OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // num_processes)),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # else torchrun listens on every address
    } | os.environ
