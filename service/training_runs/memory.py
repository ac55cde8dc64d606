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


def with_fitting_batches(
    settings: Settings, request: RetrainRequest, parent: ModelVersion | None
) -> RetrainRequest:
    """
    Return a checked request with batches that fit into the memory.

    A batch size that the request does not name is lowered to the largest that fits.

    Raises:
        ValueError: The named batch size does not fit, or not even one image does.
    """
    if parent is None:
        assert request.architecture is not None
        largest = largest_batch_size(settings, request.architecture, request.input_size)
    else:
        input_size = parent.spec["input_size"]
        assert isinstance(input_size, Sequence)
        largest = largest_batch_size(settings, parent.architecture, input_size)
    if largest is None or request.batch_size <= largest:
        return request
    if largest and "batch_size" not in request.model_fields_set:
        return request.model_copy(update={"batch_size": largest})
    remedy = f"the largest that fits is {largest}" if largest else "not even one image fits"
    raise ValueError(
        f"a batch_size of {request.batch_size} needs more memory than the "
        f"{settings.training_memory} bytes for a training: {remedy}; see "
        "HARDNEG_TRAINING_MEMORY_BYTES"
    )
