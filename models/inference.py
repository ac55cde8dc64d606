"""Images in batches -> the highest foreground probability and the detections of each."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch.nn import functional

from models.detections import Detections
from models.detectors import Detector, PreparedImage, ScoredImage
from models.detectors.detector import Dense, box_scale, enough_for
from models.images import MAX_PIXELS, decode, read_header

TRIAL_S = 1 / 3


@dataclass(frozen=True, slots=True)
class Prediction:
    """
    What a detector says of one image.

    Attributes:
        max_score: the highest foreground probability before any threshold, in [0, 1].
        log_odds: its log-odds, from the logits in float64: the key to rank by, because
            probabilities of a trained detector crowd at 1.
        detections: above the spec's thresholds, in pixels of the original image, on the CPU.

    Both numbers are None if the network proposed no box at all, NaN if its output was NaN.
    """

    max_score: float | None
    log_odds: float | None
    detections: Detections


def prepare(detector: Detector, data: bytes, *, max_pixels: int = MAX_PIXELS) -> PreparedImage:
    """
    From a file's bytes to what the network takes, for scores and for evaluation alike.

    A JPEG much larger than the network's input is decoded at a fraction of its size. Raises as
    `decode` does.
    """
    header = read_header(data)
    enough = enough_for(detector.network_size(header.height, header.width))
    pixels = decode(data, max_pixels=max_pixels, enough=enough)
    return detector.preprocess(pixels, (header.height, header.width))


@torch.inference_mode()
def predict(
    detector: Detector,
    images: Sequence[PreparedImage],
    *,
    in_bfloat16: bool = False,
    dense: Dense | None = None,
    min_score: float = 0.0,
) -> list[Prediction]:
    """
    Score images of any sizes; what an image gets does not depend on the others.

    Images that the network takes at one padded size share a forward pass, so that none is padded
    further than it would be alone. `in_bfloat16` computes convolutions and products with 8 bits
    of precision: faster on processors made for it, and good to about 0.02 in log-odds. `dense` is
    compiled code in the place of `detector.dense`. Detections at or below `min_score` are left
    out, and their boxes not worked out.

    Raises ValueError if the detector is in training mode.
    """
    if detector.training:
        raise ValueError("predict needs a detector in eval mode: call detector.eval()")
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        groups[detector.padded_size(image)].append(index)
    predictions: dict[int, Prediction] = {}
    for indices in groups.values():
        members = [images[index] for index in indices]
        with torch.autocast(detector.device.type, torch.bfloat16, enabled=in_bfloat16):
            scored = detector.score(detector.collate(members), min_score, dense)
        for index, image, result in zip(indices, members, scored, strict=True):
            predictions[index] = _prediction(result, image)
    return [predictions[index] for index in range(len(images))]


def _prediction(scored: ScoredImage, image: PreparedImage) -> Prediction:
    size = (image.pixels.shape[1], image.pixels.shape[2])
    found = scored.detections
    detections = Detections(
        boxes=found.boxes.float().cpu() * box_scale(size, image.original_size),
        scores=found.scores.float().cpu(),
        labels=found.labels.cpu(),
    )
    log_odds = scored.log_odds
    return Prediction(None if log_odds is None else _sigmoid(log_odds), log_odds, detections)


def _sigmoid(log_odds: float) -> float:
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1 + odds)


class Trial(NamedTuple):
    """
    What quick scores come to.

    Attributes:
        error: its largest, in log-odds; infinity where it cannot be told, or where one way finds a
            score and the other does not.
        speedup: how many times as fast as in float32 a batch is scored, without its boxes.
        gain: how many times as fast as without `dense`; 1 if there is none.
    """

    error: float
    speedup: float
    gain: float


def try_bfloat16(detector: Detector, dense: Dense | None = None) -> Trial:
    """
    Score a batch of four pictures of noise in float32 and in bfloat16, and by `dense` if given.

    In turns for a third of a second, or one, and the fastest of each way is compared: whatever
    else the machine does makes a turn slower. By `dense` one picture is also scored alone:
    compiled code may know one size.
    """
    noise = _noise(detector)
    score = partial(predict, detector, min_score=1.0)  # most images of a pool have no boxes
    ways = {"exact": score, "plain": partial(score, in_bfloat16=True)}
    if dense is not None:
        ways["dense"] = partial(score, in_bfloat16=True, dense=dense)
    seconds = dict.fromkeys(ways, math.inf)
    found: dict[str, list[Prediction]] = {}
    deadline = time.perf_counter() + TRIAL_S
    while not found or time.perf_counter() < deadline:
        for way, run in ways.items():
            started = time.perf_counter()
            found[way] = run(noise)
            seconds[way] = min(seconds[way], time.perf_counter() - started)
    quick = "plain" if dense is None else "dense"
    errors = _errors(found[quick], found["exact"])
    if dense is not None:
        errors += _errors(ways["dense"](noise[:1]), found["exact"][:1])
    return Trial(
        math.inf if any(math.isnan(error) for error in errors) else max(errors),
        seconds["exact"] / seconds[quick],
        seconds["plain"] / seconds[quick],
    )


def _errors(quick: Sequence[Prediction], exact: Sequence[Prediction]) -> list[float]:
    return [
        math.inf
        if one.log_odds is None or other.log_odds is None
        else abs(one.log_odds - other.log_odds)
        for one, other in zip(quick, exact, strict=True)
    ]


def _noise(detector: Detector) -> list[PreparedImage]:
    generator = torch.Generator().manual_seed(0)
    height, width = detector.spec.input_size
    images = []
    for cells in (4, 8, 16, 32):
        coarse = torch.randint(0, 256, (1, 3, cells, cells), generator=generator).float()
        fine = functional.interpolate(coarse, (height, width), mode="bilinear")
        images.append(detector.preprocess(fine[0].to(torch.uint8)))
    return images


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
