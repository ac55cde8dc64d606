"""Processes of ours that start in a moment: forked from one that has loaded torch already."""

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
    Runs a function of a module in a process of its own, which ends with this one at the latest.

    For tests that start many: the first takes as long as any other way to start Python. What has to
    be as it is on a user's machine, from the command on, is started as a program.
    """
    process = _context.Process(target=target, args=args, kwargs=kwargs, daemon=True)
    process.start()
    return process
