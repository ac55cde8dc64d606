"""CUDA streams: threads that share a GPU each have their own queue."""

from contextlib import AbstractContextManager, nullcontext
from threading import local

import torch


class _Own(local):
    def __init__(self) -> None:
        self.streams: dict[torch.device, torch.cuda.Stream] = {}


_own = _Own()


def own_stream(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which this thread's GPU work runs beside that of other threads.

    On other devices it does nothing.
    """
    if device.type != "cuda":
        return nullcontext()
    if device not in _own.streams:
        _own.streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return torch.cuda.stream(_own.streams[device])


def settle(device: torch.device) -> None:
    """Wait until a GPU has finished all its work: then every stream can read the results."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
