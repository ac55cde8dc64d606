"""One of several processes that share a training, as torchrun starts it."""

import json
import os
import pickle
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import TextIO

from models.process import tune_process
from service.jobs.running import TransientError


@dataclass(frozen=True, slots=True)
class RankFolder:
    """
    The files through which the worker and the processes of a training talk.

    Attributes:
        task: a pickled `TrainingTask`.
        reports: a FIFO of JSON lines, which all processes hold open as long as they live.
        stop: exists once the processes are to save the state and end.
        outcome: the pickled `TrainingResult`, or the first error of a process.
        meeting: where the processes find each other.
        rendezvous: torchrun's own.
        cache: decoded images.
    """

    path: Path

    @property
    def task(self) -> Path:
        return self.path / "task"

    @property
    def reports(self) -> Path:
        return self.path / "reports"

    @property
    def stop(self) -> Path:
        return self.path / "stop"

    @property
    def outcome(self) -> Path:
        return self.path / "outcome"

    @property
    def meeting(self) -> Path:
        return self.path / "meeting"

    @property
    def rendezvous(self) -> Path:
        return self.path / "rendezvous"

    @property
    def cache(self) -> Path:
        return self.path / "cache"


def main() -> None:
    """Train with the other processes, and end at once when standard input ends."""
    Thread(target=_end_with_worker, daemon=True).start()
    folder = RankFolder(Path(sys.argv[1]))
    with folder.reports.open("w", buffering=1) as reports:
        _report(reports, "pid", os.getpid())
        tune_process()
        _train(folder, reports)


def _end_with_worker() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the pipe is closed at the other end
    os._exit(1)  # without saving: nobody is left to take the state


def _train(folder: RankFolder, reports: TextIO) -> None:
    # Imported here, since they load torch
    from models.training.distributed import is_first_process, own_device, process_group
    from service.training_runs.task import TrainingTask

    task = pickle.loads(folder.task.read_bytes())
    assert isinstance(task, TrainingTask)
    with process_group(own_device(task.device), folder.meeting):
        try:
            result = task.run(
                on_epoch=lambda report: _report(reports, "epoch", asdict(report)),
                on_step=lambda report: _report(reports, "step", asdict(report)),
                should_stop=folder.stop.exists,
                cache_folder=folder.cache,
            )
        except Exception as error:
            # Before this process leaves the others, whose errors then tell nothing
            _save_outcome(folder, _for_the_worker(error))
            raise
        if is_first_process():
            _save_outcome(folder, result)


def _report(reports: TextIO, kind: str, content: object) -> None:
    """Write one line in a single write, so that those of several processes do not mix."""
    reports.write(json.dumps({kind: content}) + "\n")


def _for_the_worker(error: Exception) -> Exception:
    """
    Return the error if it would recur, else a TransientError.

    Most errors of torch are RuntimeErrors, also the one that another process has died.
    """
    import torch

    if isinstance(error, ValueError | ArithmeticError | torch.OutOfMemoryError):
        return error
    first_sentence = str(error).partition(". ")[0]
    return TransientError(f"a process failed, perhaps since another had died: {first_sentence}")


def _save_outcome(folder: RankFolder, outcome: object) -> None:
    """Write the outcome, unless another process has been first."""
    try:
        with folder.outcome.open("xb") as file:
            file.write(pickle.dumps(outcome))
    except FileExistsError:
        pass


if __name__ == "__main__":
    main()
