"""Threads that share a GPU, each with a queue of its own there."""

from contextlib import AbstractContextManager, nullcontext
from threading import local

import torch


class _Own(local):
    def __init__(self) -> None:
        self.streams: dict[torch.device, torch.cuda.Stream] = {}


_own = _Own()


def own_stream(device: torch.device) -> AbstractContextManager[object]:
    """In it, what this thread does on a GPU runs beside what others do; nothing elsewhere."""
    if device.type != "cuda":
        return nullcontext()
    if device not in _own.streams:
        _own.streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return torch.cuda.stream(_own.streams[device])


def settle(device: torch.device) -> None:
    """Return when a GPU has done all it was asked for, so that any stream may read the results."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
