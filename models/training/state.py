"""The state of a training run, from which it can resume, as one safetensors file."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.optim import Optimizer

from models.detectors.checkpoint import CheckpointError

METADATA_KEY = "training_state"


@dataclass(frozen=True, slots=True)
class TrainingState:
    """
    The state of a run after `progress["step"]` steps.

    Attributes:
        network: weights and buffers of the network.
        best: the same after the best epoch so far; empty before the end of the first epoch.
        optimizer: tensors by number of the parameter and name.
        progress: plain JSON values: counts, history, and the settings of the run.
    """

    network: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    optimizer: Mapping[int, Mapping[str, Tensor]]
    progress: Mapping[str, Any]


def save_state(state: TrainingState, path: Path) -> None:
    """Replace the file atomically: a reader sees the whole old state or the whole new one."""
    tensors = {
        **{f"network/{name}": tensor for name, tensor in state.network.items()},
        **{f"best/{name}": tensor for name, tensor in state.best.items()},
        **{
            f"optimizer/{number}/{name}": tensor
            for number, values in state.optimizer.items()
            for name, tensor in values.items()
        },
    }
    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        {METADATA_KEY: json.dumps(state.progress)},
    )
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load_state(path: Path) -> TrainingState:
    """Read a state. Raises `CheckpointError` for a damaged file or one of another kind."""
    network: dict[str, Tensor] = {}
    best: dict[str, Tensor] = {}
    optimizer: dict[int, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads((file.metadata() or {})[METADATA_KEY])
            for key in file.keys():  # noqa: SIM118  # not a dict
                match key.split("/", 2):
                    case ["network", name]:
                        network[name] = file.get_tensor(key)
                    case ["best", name]:
                        best[name] = file.get_tensor(key)
                    case ["optimizer", number, name]:
                        optimizer.setdefault(int(number), {})[name] = file.get_tensor(key)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path.name} is no training state: {error}") from error
    return TrainingState(network, best, optimizer, progress)


def optimizer_tensors(optimizer: Optimizer) -> dict[int, dict[str, Tensor]]:
    """
    Copy the optimizer's tensors, for `TrainingState.optimizer`.

    Its settings are left out: they follow from the training settings and the step.
    """
    return {
        number: {name: value.clone() for name, value in values.items() if isinstance(value, Tensor)}
        for number, values in optimizer.state_dict()["state"].items()
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Load the optimizer's tensors. Raises `CheckpointError` for those of another network."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, values in tensors.items():
        for name, value in values.items():
            if number >= len(parameters) or value.shape not in (
                torch.Size([]),
                parameters[number].shape,
            ):
                raise CheckpointError(f"optimizer value {number}/{name} fits no parameter")
    content = optimizer.state_dict()
    content["state"] = {number: dict(values) for number, values in tensors.items()}
    optimizer.load_state_dict(content)
