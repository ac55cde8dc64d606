"""The batch grows while that makes it faster and it fits."""

import itertools

import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from models.detectors import Detector, ScoredImage
from models.detectors.detector import Dense, no_detections
from models.detectors.spec import DetectorSpec
from models.inference.batch_size import choose_batch_size, fastest_batch_size
from tests.models.conftest import build_small


class _Measured(Detector):
    """A detector with memory for a number of images, without detections."""

    class_layers = ""

    def __init__(self, spec: DetectorSpec, memory: int) -> None:
        super().__init__(spec, torch.nn.Identity(), torch.nn.Identity())
        self.memory = memory
        self.sizes: list[int] = []

    def losses(
        self, batch: ImageList, targets: list[dict[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        return {}

    def dense(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {}

    def score(
        self, batch: ImageList, min_score: float = 0.0, dense: Dense | None = None
    ) -> list[ScoredImage]:
        size = len(batch.image_sizes)
        self.sizes.append(size)
        if size > self.memory:
            raise torch.OutOfMemoryError
        return [ScoredImage(0.0, no_detections())] * size


@pytest.mark.parametrize(
    ("seconds", "memory", "largest", "expected"),
    [
        ({1: 1.0, 2: 1.0, 4: 1.2, 8: 2.4, 16: 4.8}, 99, 99, 4),  # no faster beyond 4
        ({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}, 4, 99, 4),  # 8 do not fit
        ({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}, 99, 4, 4),
        ({1: 1.0, 2: 2.0}, 99, 99, 1),
    ],
)
def test_the_batch_doubles_while_it_is_faster_and_fits(
    seconds: dict[int, float], memory: int, largest: int, expected: int
) -> None:
    detector = _Measured(build_small("ssd_small").spec, memory).eval()
    times = itertools.chain.from_iterable((0.0, taken) for taken in seconds.values())

    assert fastest_batch_size(detector, largest, clock=lambda: next(times)) == expected
    assert max(detector.sizes) <= 2 * expected


def test_a_batch_size_is_found_for_a_real_detector() -> None:
    detector = build_small("ssd_small").eval()

    assert fastest_batch_size(detector, largest=4) in (1, 2, 4)
    assert choose_batch_size(detector) == 8
