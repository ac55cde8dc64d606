"""The fastest batch size of a forward pass on a device."""

import time
from collections.abc import Callable

import torch

from models.detectors import Detector
from models.inference.footprint import fitting_batch_size
from models.inference.predict import predict

CPU_BATCH = 8
LARGEST_GPU_BATCH = 256
MIN_GAIN = 1.05  # a doubled batch must be at least this many times as fast


def choose_batch_size(detector: Detector) -> int:
    """
    Return 8 on the CPU, whose cores are busy with few images, and measure any other device.

    It is less for images that are so large that eight of them fill the memory. This takes some
    seconds on a GPU.
    """
    if detector.device.type == "cpu":
        return fitting_batch_size(detector.spec, CPU_BATCH)
    return fastest_batch_size(detector, LARGEST_GPU_BATCH)


def fastest_batch_size(
    detector: Detector, largest: int, clock: Callable[[], float] = time.perf_counter
) -> int:
    """
    Double the batch from 1 up to `largest` while more images are scored per second.

    The search ends at a size that does not fit into the device's memory, or with a gain below 5 %.
    Images are black, at the detector's input size.
    """
    height, width = detector.spec.input_size
    image = detector.preprocess(torch.zeros((3, height, width), dtype=torch.uint8))
    best, best_rate, size = 1, 0.0, 1
    while size <= largest:
        try:
            predict(
                detector, [image] * size
            )  # the first run is slow: it allocates memory and chooses kernels
            start = clock()
            predict(detector, [image] * size)
            rate = size / (clock() - start)
        except torch.OutOfMemoryError:
            break
        if rate < MIN_GAIN * best_rate:
            break
        best, best_rate, size = size, rate, 2 * size
    return best
