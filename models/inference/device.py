"""The device that a detector computes on."""

import torch


def select_device(name: str | None = None) -> torch.device:
    """
    Return the device of that name, or the best available: CUDA, else MPS, else CPU.

    On CUDA, convolutions in float32 keep all of its precision from then on: by default, torch
    computes them in TF32, which has 10 bits of it, and exact scores would be none.

    Raises:
        ValueError: torch does not know the name, or the machine has no such device.
    """
    torch.backends.cudnn.allow_tf32 = False
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
