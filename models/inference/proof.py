"""A check that a detector gives finite scores and boxes, before anything relies on them."""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from models.detectors import Detector, PreparedImage, build_from_spec
from models.detectors.scoring import ScoringDetector
from models.inference.footprint import require_moderate
from models.inference.fused import fuse
from models.inference.predict import Prediction, predict

MAX_DIFFERENCE = 0.5  # in log-odds, or as a share of them; rounding stays far below it
NOISE_CELLS = (4, 32)  # cells of noise along each side
LONGEST_SIDE = 128  # of families that take any size; scores of smaller images cost less


def prove(detector: Detector) -> None:
    """
    Score a grey, a black-and-white and two noisy images, with the detector as it is and fused.

    Finite weights are no proof: some overflow within the network, and the processor's fused
    activations then turn NaN into 0, so that every image gets the same, finite score. Every box
    counts here, whatever its score.

    Raises:
        ValueError: A score or a box is not finite, the fused detector's scores differ grossly, or
            one image takes too much memory.
    """
    require_moderate(detector.spec)
    plain = _without_threshold(detector)
    fused = fuse(plain)
    for name, image in _images(_side_lengths(detector)).items():
        # One at a time: every box of a large image takes much memory.
        (expected,), (found,) = predict(plain, [image]), predict(fused, [image])
        for prediction in (expected, found):
            _require_finite(prediction, name)
        if not _are_close(expected.log_odds, found.log_odds):
            raise ValueError(
                f"its log-odds for {name} are {found.log_odds} with BatchNorm folded into the "
                f"convolutions, {expected.log_odds} without"
            )


def prove_finite(detector: ScoringDetector) -> None:
    """Raise ValueError if a score or a box is not finite on the images that `prove` takes."""
    images = _images(detector.spec.input_size)
    prepared = [detector.preprocess(image.pixels) for image in images.values()]
    for name, prediction in zip(images, predict(detector, prepared), strict=True):
        _require_finite(prediction, name)


def _without_threshold(detector: Detector) -> Detector:
    with torch.random.fork_rng(devices=[]):
        copied = build_from_spec(replace(detector.spec, score_threshold=0.0))
    copied.network.load_state_dict(detector.network.state_dict())
    return copied.to(detector.device).eval()


def _side_lengths(detector: Detector) -> tuple[int, int]:
    height, width = detector.spec.input_size
    if not detector.keeps_aspect:
        return height, width
    return min(height, LONGEST_SIDE), min(width, LONGEST_SIDE)


def _images(size: tuple[int, int]) -> dict[str, PreparedImage]:
    """Return images of one (height, width) by name."""
    generator = torch.Generator().manual_seed(0)
    grey, halves = torch.full((3, *size), 128.0), torch.zeros((3, *size))
    halves[:, size[0] // 2 :] = 255
    pixels = {"a grey image": grey, "a black and white image": halves}
    for cells in NOISE_CELLS:
        noise = torch.randint(0, 256, (1, 3, cells, cells), generator=generator).float()
        pixels[f"noise of {cells} x {cells} cells"] = functional.interpolate(noise, size)[0]
    return {name: PreparedImage(image.to(torch.uint8), size) for name, image in pixels.items()}


def _require_finite(prediction: Prediction, name: str) -> None:
    if prediction.log_odds is not None and not math.isfinite(prediction.log_odds):
        raise ValueError(f"its score for {name} is not finite")
    found = prediction.detections
    if not (_is_finite(found.scores) and _is_finite(found.boxes)):
        raise ValueError(f"its detections in {name} are not finite")


def _is_finite(values: Tensor) -> bool:
    return bool(values.isfinite().all())


def _are_close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=MAX_DIFFERENCE, abs_tol=MAX_DIFFERENCE)
