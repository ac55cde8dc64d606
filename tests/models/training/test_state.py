from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.detectors.checkpoint import CheckpointError
from models.training.schedule import OptimizerName, build_optimizer
from models.training.state import (
    TrainingState,
    load_state,
    optimizer_tensors,
    restore_optimizer,
    save_state,
)


def state(step: int = 3) -> TrainingState:
    return TrainingState(
        network={"a.weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(7)},
        best={"a.weight": torch.ones(2, 3)},
        optimizer={0: {"step": torch.tensor(3.0), "exp_avg": torch.rand(2, 3)}},
        progress={"step": step, "history": [{"ap": 0.5}]},
    )


def test_a_loaded_state_equals_the_saved_one(tmp_path: Path) -> None:
    saved = state()

    save_state(saved, tmp_path / "run.state")
    loaded = load_state(tmp_path / "run.state")

    assert loaded.progress == saved.progress
    torch.testing.assert_close(dict(loaded.network), dict(saved.network), rtol=0, atol=0)
    torch.testing.assert_close(dict(loaded.best), dict(saved.best), rtol=0, atol=0)
    torch.testing.assert_close(loaded.optimizer[0], saved.optimizer[0], rtol=0, atol=0)


def test_a_failed_save_leaves_the_old_state_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.state"
    save_state(state(step=3), path)
    unsaveable = TrainingState({}, {}, {}, {"step": object()})

    with pytest.raises(TypeError):
        save_state(unsaveable, path)

    assert load_state(path).progress["step"] == 3


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 64])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.state"
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match="no training state"):
        load_state(path)


def test_another_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "model.safetensors")

    with pytest.raises(CheckpointError, match="no training state"):
        load_state(tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_restored_optimizer_takes_the_same_steps(name: OptimizerName) -> None:
    def step(network: nn.Module, optimizer: torch.optim.Optimizer, times: int) -> None:
        for _ in range(times):
            optimizer.zero_grad()
            network(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    optimizer = build_optimizer(name, network, learning_rate=0.1, weight_decay=0.01)
    step(network, optimizer, 2)
    resumed = nn.Linear(3, 2)
    resumed.load_state_dict(network.state_dict())
    other = build_optimizer(name, resumed, learning_rate=0.1, weight_decay=0.01)
    restore_optimizer(other, optimizer_tensors(optimizer))

    step(network, optimizer, 2)
    step(resumed, other, 2)

    assert torch.equal(network.weight, resumed.weight)


def test_optimizer_tensors_of_another_network_are_refused() -> None:
    optimizer = build_optimizer("adamw", nn.Linear(3, 2), learning_rate=0.1, weight_decay=0)

    with pytest.raises(CheckpointError, match="fits no parameter"):
        restore_optimizer(optimizer, {0: {"exp_avg": torch.zeros(5, 5)}})
