"""Memory, threads and kernels of a process: its limit, and settings made before torch loads."""

import ctypes
import os
from pathlib import Path

# mallopt's parameters (glibc's malloc.h), the variables that set them, too, and our values
_MALLOC_OPTIONS = (
    (-1, "MALLOC_TRIM_THRESHOLD_", 2**31 - 1),
    (-3, "MALLOC_MMAP_THRESHOLD_", 2**30),
    (-8, "MALLOC_ARENA_MAX", 1),
)
_SPINS = "1000"
_KERNELS = "4096"


# Of the container that this process runs in, by version 2 and version 1 of control groups
_GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit_bytes() -> int:
    """Return the memory of this machine, or of the container if that has a smaller limit."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in map(Path, _GROUP_LIMITS):
        text = file.read_text().strip() if file.exists() else ""
        if text.isdecimal():  # "max" where there is none
            limit = min(limit, int(text))
    return limit


def tune_process() -> None:
    """
    Keep memory between batches, and let waiting threads sleep soon. Call this before loading torch.

    glibc returns large freed blocks to the system, which fills each new page with zeros: for a
    batch's activations, this took as long as the network itself. There is one arena, since the
    others hold no block above 64 MB. The process keeps the memory of its largest batch. With
    another C library, memory is left alone.

    By default, OpenMP's waiting threads spin for milliseconds, which makes training several times
    slower on cores shared with other work. Threads that sleep at once make a network's small
    layers wait for the system. So they spin for some microseconds.

    oneDNN compiles a kernel for each layer and shape of a batch, and keeps 1,024 of them: too few
    for batches of one to eight images in two precisions, whose kernels it would compile again and
    again.

    Variables that the environment sets take precedence.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _KERNELS)
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = _SPINS
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None or "GLIBC_TUNABLES" in os.environ:
        return
    for parameter, variable, value in _MALLOC_OPTIONS:
        if variable not in os.environ:
            mallopt(parameter, value)
