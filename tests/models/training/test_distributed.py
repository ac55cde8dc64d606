"""Two processes train one detector, started by torchrun as on a machine with several GPUs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.detectors.checkpoint import save_checkpoint
from models.training.config import TrainingConfig
from models.training.distributed import any_process, from_first_process, process_group
from models.training.loop import train
from tests.models.squares import negatives, squares, tiny_detector


def test_a_single_process_decides_alone() -> None:
    device = torch.device("cpu")

    with process_group(device):
        assert any_process(True, device)
        assert not any_process(False, device)
        assert from_first_process(0.25, device) == 0.25


@pytest.mark.slow
def test_two_processes_end_with_equal_detectors(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--standalone", "--module", __spec__.name, str(tmp_path)]

    run = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, cwd=Path.cwd()
    )

    assert run.returncode == 0, run.stderr[-3000:]
    first, second = ((tmp_path / f"{rank}.safetensors").read_bytes() for rank in range(2))
    assert first == second
    reports = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert reports[0]["outcomes"] == reports[1]["outcomes"] == ["cancelled", "completed"]
    assert reports[0]["ap50_95"] == reports[1]["ap50_95"]
    assert (reports[0]["num_epochs_told"], reports[1]["num_epochs_told"]) == (2, 0)


def _train_in_this_process(folder: Path) -> None:
    rank = torch.distributed.get_rank()
    config = TrainingConfig(epochs=2, steps_per_epoch=4, batch_size=4, warmup_steps=1)
    told: list[int] = []
    detector = tiny_detector()
    images = (squares(6), negatives(4), squares(3, 1))
    state = folder / "run.state"
    # should_stop() is True in one process only; both must stop.
    asked = iter(range(100))
    cancelled = train(
        detector,
        *images,
        config,
        should_stop=lambda: rank == 1 and next(asked) == 6,
        on_epoch=lambda report: told.append(report.epoch),
        state_path=state,
    )
    torch.distributed.barrier()
    result = train(
        detector,
        *images,
        config,
        on_epoch=lambda report: told.append(report.epoch),
        resume_from=state,
    )
    save_checkpoint(detector, folder / f"{rank}.safetensors")
    (folder / f"{rank}.json").write_text(
        json.dumps(
            {
                "outcomes": [cancelled.outcome, result.outcome],
                "ap50_95": result.best_ap50_95,
                "num_epochs_told": len(told),
            }
        )
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    with process_group(torch.device("cpu")):
        _train_in_this_process(Path(sys.argv[1]))
