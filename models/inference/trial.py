"""A measurement of how fast and how exact quick scores are, made when a version is loaded."""

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch.nn import functional

from models.detectors import Detector, PreparedImage
from models.detectors.detector import Dense
from models.inference.predict import Prediction, predict

TRIAL_S = 1 / 3


class Trial(NamedTuple):
    """
    The error and the gain of quick scores.

    Attributes:
        error: the largest, in log-odds; infinite if a score is NaN, or only one way gives a score.
        speedup: time of a batch in float32 over its time now, both without boxes.
        gain: time of a batch without `dense` over its time with it; 1 without `dense`.
    """

    error: float
    speedup: float
    gain: float


def try_bfloat16(detector: Detector, dense: Dense | None = None) -> Trial:
    """
    Score four images of noise in float32 and in bfloat16, and by `dense` if given.

    The ways take turns for a third of a second, at least one turn each. The fastest turns are
    compared, because other work on the machine only makes a turn slower. `dense` also scores one
    image alone: compiled code may be right for one batch size only.
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
