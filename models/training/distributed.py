"""The processes of a training run: one by default, several under torchrun."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

# All wait while the first process computes AP, and in the first epoch for the slowest to decode.
# A process that dies is noticed by torchrun, whatever this limit is.
TIMEOUT = timedelta(hours=2)

T = TypeVar("T")


@contextmanager
def process_group(device: torch.device, meeting_file: Path | None = None) -> Iterator[None]:
    """
    Join the other processes if torchrun started this one; else do nothing.

    They meet at a file that does not exist yet, or by default at the port that torchrun opened.
    """
    if not distributed.is_torchelastic_launched():
        yield
        return
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=None if meeting_file is None else meeting_file.absolute().as_uri(),
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
        timeout=TIMEOUT,
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """Return this process's own GPU if the processes train on CUDA, else the device as it is."""
    if device.type != "cuda" or not distributed.is_torchelastic_launched():
        return device
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)  # NCCL sends objects from the current device
    return own


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


def own_share(values: Sequence[T]) -> Sequence[T]:
    """Return every n-th value for this one of n processes; `gather_shares` puts them together."""
    return values[process_index() :: num_processes()]


def gather_shares(share: Sequence[T]) -> list[T]:
    """
    Return the values of all processes in the order that they had before `own_share`.

    Only the first process gets them, others an empty list. All processes must call together.
    """
    if num_processes() == 1:
        return list(share)
    shares: list[Sequence[T]] = [()] * num_processes()
    distributed.gather_object(share, shares if is_first_process() else None)
    values = [value for turn in zip_longest(*shares, fillvalue=None) for value in turn]
    return [value for value in values if value is not None]


def share_buffers(module: nn.Module) -> None:
    """
    Copy the first process's buffers, such as BatchNorm's statistics, to all processes.

    Each process computes its own over its part of the batches; parameters are equal already.
    """
    if num_processes() == 1:
        return
    for buffer in module.buffers():
        distributed.broadcast(buffer, src=0)
