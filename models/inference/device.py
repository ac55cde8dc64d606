"""The device that a detector computes on."""

import torch


def select_device(name: str | None = None) -> torch.device:
    """
    The device of that name, or the best there is: CUDA, else MPS, else CPU.

    Raises ValueError for a name that torch does not know or a device that is not there.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {name!r} cannot be used: {error}") from error
    return device
