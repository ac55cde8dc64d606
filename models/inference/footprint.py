"""The memory that one image takes within a detector, found out without computing anything."""

import torch

from models.detectors import DetectorSpec, build_from_spec

MAX_OUTPUTS = 64_000_000  # 256 MB; a RetinaNet of 90 classes at 800 × 1333 has 27 million
# Below this threshold most pairs of anchor and class can pass, and each costs about 80 bytes.
LOW_THRESHOLD = 0.01
MAX_OUTPUTS_AT_LOW_THRESHOLD = 20_000_000
MAX_BATCH_OUTPUTS = 256_000_000
MAX_BATCH_PIXELS = 8 * 800 * 1333  # eight images for the largest detectors of torchvision


def num_outputs(spec: DetectorSpec) -> int:
    """
    Count the numbers that heads and feature maps give for one image of the largest size.

    Nothing is computed: tensors of the device `meta` have a shape and no content.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
        detector = build_from_spec(spec).to("meta").eval()
        outputs = detector.dense(torch.empty((1, 3, *spec.input_size)))
    return sum(output.numel() for output in outputs.values())


def require_moderate(spec: DetectorSpec) -> None:
    """Raise ValueError if one image takes more memory than a detector may use for it."""
    threshold = spec.score_threshold
    most = MAX_OUTPUTS if threshold >= LOW_THRESHOLD else MAX_OUTPUTS_AT_LOW_THRESHOLD
    number = num_outputs(spec)
    if number > most:
        raise ValueError(
            f"it gives {number} numbers for one image, and {most} are allowed with its "
            f"score_threshold of {threshold:g}: reduce its input_size or its classes, or use a "
            f"score_threshold of {LOW_THRESHOLD} or more"
        )


def fitting_batch_size(spec: DetectorSpec, batch_size: int) -> int:
    """Return the batch size, or a smaller one if the detector's images are too large for it."""
    height, width = spec.input_size
    by_pixels = MAX_BATCH_PIXELS // (height * width)
    by_outputs = MAX_BATCH_OUTPUTS // max(1, num_outputs(spec))
    return max(1, min(batch_size, by_pixels, by_outputs))
