"""What must be set in a process before torch computes in it: memory, threads and kernels."""

import ctypes
import os

# mallopt's parameters (glibc's malloc.h), what a user sets them with instead, and values
_MALLOC_OPTIONS = (
    (-1, "MALLOC_TRIM_THRESHOLD_", 2**31 - 1),
    (-3, "MALLOC_MMAP_THRESHOLD_", 2**30),
    (-8, "MALLOC_ARENA_MAX", 1),
)
_SPINS = "1000"
_KERNELS = "4096"


def tune_process() -> None:
    """
    Keep memory between batches, and let waiting threads sleep soon. Call it before torch is loaded.

    glibc gives large blocks back to the system when they are freed, and the system fills each new
    page with zeros: for a batch's activations that took as long as the network itself. One arena,
    since the others hold no block above 64 MB. The memory of the largest batch stays with the
    process. Where the C library is another one nothing is done.

    OpenMP's threads spin for milliseconds while they wait for each other, which makes training
    several times slower where cores are shared with other work; and sleep at once, where told
    to, which makes the small layers of a network wait for the system. So they spin for some
    microseconds.

    oneDNN makes a kernel for each layer and shape of a batch, and keeps 1,024: too few for batches
    of one to eight images in two precisions, of which each would be made again and again.

    What the environment says about any of these comes first.
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
