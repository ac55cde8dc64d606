"""Processes that start quickly: they are forked from one that has loaded torch already."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import ParamSpec

Arguments = ParamSpec("Arguments")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["service.server", "service.worker.loop", "models.training.loop"])


def start_process(
    target: Callable[Arguments, None], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> ForkServerProcess:
    """
    Run a function of a module in a new process, which ends with this one at the latest.

    Use it in tests that start many processes; only the first takes as long as starting Python. A
    test of a whole command starts a program instead, as on a user's machine.
    """
    process = _context.Process(target=target, args=args, kwargs=kwargs, daemon=True)
    process.start()
    return process
