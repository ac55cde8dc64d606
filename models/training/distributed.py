"""The processes of a training run: one by default, several under torchrun."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the other processes if torchrun started this one; else do nothing."""
    if not distributed.is_torchelastic_launched():
        yield
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def num_processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def process_index() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first_process() -> bool:
    return process_index() == 0


def share_gradients(module: nn.Module) -> nn.Module:
    """Wrap the module to average gradients over all processes, if there are several."""
    return DistributedDataParallel(module) if num_processes() > 1 else module


def any_process(flag: bool, device: torch.device) -> bool:
    """Return True if the flag is set in any process; all processes must call together."""
    if num_processes() == 1:
        return flag
    votes = torch.tensor([float(flag)], device=device)
    distributed.all_reduce(votes, op=distributed.ReduceOp.MAX)
    return bool(votes.item() > 0)


def from_first_process(value: float, device: torch.device) -> float:
    """Return the first process's value in every process."""
    if num_processes() == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64, device=device)
    distributed.broadcast(shared, src=0)
    return float(shared.item())


def share_buffers(module: nn.Module) -> None:
    """
    Copy the first process's buffers, such as BatchNorm's statistics, to all processes.

    Each process computes its own over its part of the batches; parameters are equal already.
    """
    if num_processes() == 1:
        return
    for buffer in module.buffers():
        distributed.broadcast(buffer, src=0)
