"""The memory of a training, bounded when it is asked for."""

from collections.abc import Sequence

from hardneg.schemas.training_runs import RetrainRequest
from models.detectors import training_bytes
from models.inference.device import select_device
from service.settings import Settings
from service.tables import ModelVersion


def largest_batch_size(
    settings: Settings, architecture: str, input_size: Sequence[int] | None = None
) -> int | None:
    """Return how many images a batch may have on the CPU; None on a GPU, which says so itself."""
    if select_device(settings.device).type != "cpu":
        return None
    size = None if input_size is None else (int(input_size[0]), int(input_size[1]))
    return settings.training_memory // training_bytes(architecture, size)


def why_too_large(
    settings: Settings, request: RetrainRequest, parent: ModelVersion | None
) -> str | None:
    """Return why the batches of a checked request do not fit into the memory, or None."""
    if parent is None:
        assert request.architecture is not None
        largest = largest_batch_size(settings, request.architecture, request.input_size)
    else:
        input_size = parent.spec["input_size"]
        assert isinstance(input_size, Sequence)
        largest = largest_batch_size(settings, parent.architecture, input_size)
    if largest is None or request.batch_size <= largest:
        return None
    remedy = f"the largest that fits is {largest}" if largest else "not even one image fits"
    return (
        f"a batch_size of {request.batch_size} needs more memory than the "
        f"{settings.training_memory} bytes for a training: {remedy}; see "
        "HARDNEG_TRAINING_MEMORY_BYTES"
    )
