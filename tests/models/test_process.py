"""Settings of a whole process, tested in new processes."""

import os
import platform
import subprocess
import sys
from functools import cache

import pytest

PROGRAM = """
import os, resource, sys, threading
if sys.argv[1] == "tuned":
    from models.process import tune_process
    tune_process()
import torch

def use_memory():
    global faults
    for _ in range(10):  # until enough memory is kept; 100 MB, like the activations of a batch
        torch.ones(25_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.ones(25_000_000)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

thread = threading.Thread(target=use_memory)
thread.start()
thread.join()
print(faults, os.environ.get("GOMP_SPINCOUNT"))
"""


@cache
def _run(how: str, **environment: str) -> tuple[int, str]:
    """Return the number of pages that the system filled anew, and the spins of OpenMP's threads."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MALLOC_", "GOMP_", "OMP_", "GLIBC_"))
    }
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env=kept | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    faults, spins = result.stdout.split()
    return int(faults), spins


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_a_batch_reuses_the_memory_of_the_last() -> None:
    assert _run("plain")[0] > 10_000  # pages of 4 KB; otherwise there would be nothing to tune
    assert _run("tuned")[0] < 1_000


def test_variables_of_the_environment_take_precedence() -> None:
    faults, spins = _run("tuned", GOMP_SPINCOUNT="5", MALLOC_MMAP_THRESHOLD_="1000000")
    assert (faults > 10_000, spins) == (True, "5")
    assert _run("tuned", OMP_WAIT_POLICY="ACTIVE")[1] == "None"
    assert _run("tuned")[1] == "1000"
