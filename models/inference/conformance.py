"""Checks that a detector keeps the promises of `ScoringDetector`, for those who write plug-ins."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, is_dataclass
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from models.detectors.detector import PreparedImage
from models.detectors.formats import format_of, formats
from models.detectors.scoring import ScoringDetector, ScoringSpec
from models.detectors.spec import MAX_INPUT_SIDE, check_class_names
from models.inference.predict import Prediction, predict, prepare

SIDES = ((120, 160), (200, 90), (64, 64), (333, 517))  # heights and widths of the trial images
CLOSE = 1e-4  # in log-odds: what the order of sums may change
BOX_SLACK = 0.01  # pixels
NUM_THREADS = 4


class CheckStatus(StrEnum):
    PASSED = "ok"
    FAILED = "FAIL"
    NOT_TRIED = "--"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One promise, whether it is kept, and what was found or what to do."""

    promise: str
    status: CheckStatus
    detail: str


class BrokenPromiseError(Exception):
    """A promise that is not kept; the message says what to do."""


class NothingToCheckError(Exception):
    """A promise that these images cannot try."""


@dataclass(frozen=True, slots=True)
class DetectorTrial:
    """A loaded detector, the images that it was given, and what it said of each."""

    detector: ScoringDetector
    spec_in_file: ScoringSpec
    names: tuple[str, ...]
    images: tuple[PreparedImage, ...]
    found: tuple[Prediction, ...]


def check_file(
    path: Path, pictures: Sequence[bytes] = (), *, device: str = "cpu"
) -> Iterator[CheckResult]:
    """
    Yield a result for each promise of a checkpoint format and its detector.

    `pictures` are image files to try beside those made here; some promises can only be tried on an
    image in which the detector finds something. A promise on which others rest ends the checks if
    it is broken.
    """
    opened: list[DetectorTrial] = []

    def open_file() -> str:
        opened.append(_open(path, pictures, device))
        return f"{len(opened[0].images)} images scored"

    first: list[tuple[str, Callable[[], str]]] = [
        ("one format owns the file", lambda: _format(path)),
        ("the spec is readable without the network", lambda: _spec(path)),
        ("it loads and scores", open_file),
    ]
    for promise, check in first:
        result = _result(promise, check)
        yield result
        if result.status is CheckStatus.FAILED:
            return
    for promise, check_trial in CHECKS.items():
        yield _result(promise, lambda check=check_trial: check(opened[0]))  # type: ignore[misc]


def _result(promise: str, check: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(promise, CheckStatus.PASSED, check())
    except BrokenPromiseError as error:
        return CheckResult(promise, CheckStatus.FAILED, str(error))
    except NothingToCheckError as error:
        return CheckResult(promise, CheckStatus.NOT_TRIED, str(error))
    except Exception as error:  # a plug-in may raise anything; its author wants to see it
        return CheckResult(promise, CheckStatus.FAILED, f"{type(error).__name__}: {error}")


def _format(path: Path) -> str:
    owners = [known for known in formats() if known.owns(path)]
    if not owners:
        names = ", ".join(known.name for known in formats())
        raise BrokenPromiseError(
            f"none of {names} owns it: `owns` must know a file by its first bytes, and a plug-in "
            "must be installed with an entry point in the group `hardneg.detectors`"
        )
    if len(owners) > 1:
        names = ", ".join(known.name for known in owners)
        raise BrokenPromiseError(f"{names} all own it: begin your files with bytes of their own")
    (owner,) = owners
    if not owner.suffix.startswith(".") or len(owner.suffix) < 2:
        raise BrokenPromiseError(f"`suffix` must be a dot and letters, not {owner.suffix!r}")
    return f"{owner.name} ({owner.suffix})"


def _spec(path: Path) -> str:
    spec = format_of(path).read(path)
    check_class_names(spec.class_names)
    height, width = spec.input_size
    if not all(isinstance(side, int) and 1 <= side <= MAX_INPUT_SIDE for side in (height, width)):
        raise BrokenPromiseError(
            f"input_size must be (height, width), 1 to {MAX_INPUT_SIDE} pixels, not "
            f"{spec.input_size}"
        )
    if not 0 <= spec.score_threshold <= 1:
        raise BrokenPromiseError(f"score_threshold must be in [0, 1], not {spec.score_threshold}")
    if not is_dataclass(spec) or isinstance(spec, type):
        raise BrokenPromiseError("the spec must be a dataclass: its fields are kept as JSON")
    json.dumps(asdict(spec), allow_nan=False)
    names = ", ".join(spec.class_names[:5]) + (", …" if len(spec.class_names) > 5 else "")
    return f"{spec.architecture}; {len(spec.class_names)} classes: {names}; {height} x {width}"


def _open(path: Path, pictures: Sequence[bytes], device: str) -> DetectorTrial:
    checkpoint_format = format_of(path)
    detector = checkpoint_format.load(path, device=device, num_threads=1)
    drawn = trial_pictures()
    images = [detector.preprocess(pixels) for pixels in drawn.values()]
    images += [prepare(detector, picture) for picture in pictures]
    names = (*drawn, *(f"picture {number}" for number in range(1, len(pictures) + 1)))
    found = tuple(predict(detector, [image])[0] for image in images)
    return DetectorTrial(detector, checkpoint_format.read(path), names, tuple(images), found)


def trial_pictures() -> dict[str, Tensor]:
    """Return even, half black and noisy images of several sides, uint8 [3, H, W], by name."""
    generator = torch.Generator().manual_seed(0)
    pictures = {
        f"even {name}": torch.full((3, *SIDES[0]), value, dtype=torch.uint8)
        for name, value in (("black", 0), ("grey", 128), ("white", 255))
    }
    halves = torch.zeros((3, *SIDES[1]), dtype=torch.uint8)
    halves[:, SIDES[1][0] // 2 :] = 255
    pictures["half black"] = halves
    for height, width in SIDES:
        for cells in (4, 32):
            coarse = torch.randint(0, 256, (1, 3, cells, cells), generator=generator).float()
            noise = functional.interpolate(coarse, (height, width))[0]
            pictures[f"noise, {height} x {width}, {cells} cells"] = noise.to(torch.uint8)
    return pictures


def _same_spec(trial: DetectorTrial) -> str:
    for name in ("architecture", "class_names", "input_size", "score_threshold"):
        read, loaded = getattr(trial.spec_in_file, name), getattr(trial.detector.spec, name)
        if read != loaded:
            raise BrokenPromiseError(f"`read` gives {name} {read!r}, the detector has {loaded!r}")
    return "as read from the file"


def _ready(trial: DetectorTrial) -> str:
    if trial.detector.training:
        raise BrokenPromiseError("`training` must be False: call eval() when the file is loaded")
    torch.device(trial.detector.device)
    return f"in evaluation mode on {trial.detector.device}"


def _sizes(trial: DetectorTrial) -> str:
    for name, image in zip(trial.names, trial.images, strict=True):
        height, width = image.original_size
        padded = trial.detector.padded_size(image)
        if any(is_less for is_less in map(int.__lt__, padded, image.pixels.shape[-2:])):
            raise BrokenPromiseError(
                f"`padded_size` of {name} is {padded}, less than its pixels "
                f"{tuple(image.pixels.shape[-2:])}"
            )
        left, top = image.placement.offset
        x, y = image.placement.factor
        if left + width / x > padded[1] + 1 or top + height / y > padded[0] + 1:
            raise BrokenPromiseError(
                f"`placement` of {name} puts an image of {height} x {width} beyond its "
                f"{padded[0]} x {padded[1]} input: factor is original side over side in the input"
            )
    return "padded sizes and placements hold the images"


def _finite(trial: DetectorTrial) -> str:
    for name, found in zip(trial.names, trial.found, strict=True):
        boxes, scores = found.detections.boxes, found.detections.scores
        is_finite = found.log_odds is None or math.isfinite(found.log_odds)
        if not (is_finite and boxes.isfinite().all() and scores.isfinite().all()):
            raise BrokenPromiseError(f"a score or a box of {name} is NaN or infinite")
    return "all scores and boxes"


def _before_threshold(trial: DetectorTrial) -> str:
    blank = [
        name for name, found in zip(trial.names, trial.found, strict=True) if found.log_odds is None
    ]
    if blank:
        raise BrokenPromiseError(
            f"{len(blank)} of {len(trial.names)} images have no score, {blank[0]} for one: "
            "`log_odds` is the highest of all boxes, before any threshold; images without it rank "
            "last, and nothing tells them apart"
        )
    if len({found.log_odds for found in trial.found}) == 1:
        raise BrokenPromiseError("every image has the same score: the ranking would be by chance")
    lowest, highest = _range(trial)
    return f"log-odds from {lowest:.2f} to {highest:.2f}, of blank images, too"


def _range(trial: DetectorTrial) -> tuple[float, float]:
    odds = [found.log_odds for found in trial.found if found.log_odds is not None]
    return min(odds), max(odds)


def _above_detections(trial: DetectorTrial) -> str:
    for name, found in zip(trial.names, trial.found, strict=True):
        highest = float(found.detections.scores.max()) if len(found.detections) else 0.0
        if found.max_score is not None and highest > found.max_score + 1e-4:
            raise BrokenPromiseError(
                f"{name} has a detection of {highest:.4f} above its max_score of "
                f"{found.max_score:.4f}: `log_odds` must be natural logarithms of p / (1 - p)"
            )
    return "no detection scores higher"


def _thresholds(trial: DetectorTrial) -> str:
    threshold = trial.detector.spec.score_threshold
    lowest = [float(found.detections.scores.min()) for found in _with_detections(trial)]
    if min(lowest) < threshold:
        raise BrokenPromiseError(
            f"a detection of {min(lowest):.4f} lies below the spec's score_threshold {threshold}"
        )
    highest = max(float(found.detections.scores.max()) for found in _with_detections(trial))
    above_all = (highest + 1) / 2
    for image, before in zip(trial.images, trial.found, strict=True):
        (after,) = predict(trial.detector, [image], min_score=above_all)
        if len(after.detections):
            raise BrokenPromiseError(f"min_score={above_all:.4f} leaves a detection below it")
        if after.log_odds != before.log_odds:
            raise BrokenPromiseError("`min_score` changes log_odds; it is for detections alone")
    return "detections respect both, log-odds neither"


def _boxes(trial: DetectorTrial) -> str:
    num_boxes = 0
    for name, image, found in zip(trial.names, trial.images, trial.found, strict=True):
        boxes = found.detections.boxes
        height, width = image.original_size
        limit = torch.tensor([width, height, width, height]) + BOX_SLACK
        if (boxes < -BOX_SLACK).any() or (boxes > limit).any():
            raise BrokenPromiseError(
                f"a box of {name} lies outside its {height} x {width} image: give boxes in pixels "
                "of the network's input, cut to the image, and the right `placement`"
            )
        if (boxes[:, 2:] <= boxes[:, :2]).any():
            raise BrokenPromiseError(f"a box of {name} is empty: they are x1, y1, x2, y2")
        num_boxes += len(boxes)
    _with_detections(trial)
    return f"{num_boxes} boxes lie inside their images"


def _labels(trial: DetectorTrial) -> str:
    num_classes = len(trial.detector.spec.class_names)
    for found in _with_detections(trial):
        labels, scores = found.detections.labels, found.detections.scores
        if labels.dtype != torch.int64 or labels.min() < 1 or labels.max() > num_classes:
            raise BrokenPromiseError(
                f"labels must be int64 from 1, the first class, to {num_classes}; "
                f"{labels.min()} to {labels.max()} were found"
            )
        if (scores.diff() > 0).any():
            raise BrokenPromiseError("detections must come highest score first")
    return f"1 to {num_classes}, highest score first"


def _repeats(trial: DetectorTrial) -> str:
    again = [predict(trial.detector, [image])[0] for image in trial.images]
    _require_equal(trial, again, "a second time", slack=0.0)
    return "a second run gives the same, to the last bit"


def _batches(trial: DetectorTrial) -> str:
    together = predict(trial.detector, trial.images)
    largest = _require_equal(trial, together, "in a batch", slack=CLOSE)
    return "as alone, to the last bit" if largest == 0 else f"as alone, but for {largest:.1e}"


def _threads(trial: DetectorTrial) -> str:
    def score(index: int) -> Prediction:
        return predict(trial.detector, [trial.images[index]])[0]

    with ThreadPoolExecutor(NUM_THREADS) as threads:
        beside = list(threads.map(score, range(len(trial.images))))
    _require_equal(trial, beside, f"in {NUM_THREADS} threads at once", slack=CLOSE)
    return f"{NUM_THREADS} at once give the same"


def _require_equal(
    trial: DetectorTrial, others: Sequence[Prediction], when: str, *, slack: float
) -> float:
    """Return the largest difference of log-odds. Raises BrokenPromiseError above the slack."""
    largest = 0.0
    for name, one, other in zip(trial.names, trial.found, others, strict=True):
        if one.log_odds is None or other.log_odds is None:
            difference = 0.0 if one.log_odds is other.log_odds else math.inf
        else:
            difference = abs(one.log_odds - other.log_odds)
        if difference > slack or len(one.detections) != len(other.detections):
            raise BrokenPromiseError(
                f"{name} gets log-odds {one.log_odds} and {len(one.detections)} detections, {when} "
                f"{other.log_odds} and {len(other.detections)}: an image's result must depend on "
                "nothing else"
            )
        largest = max(largest, difference)
    return largest


def _with_detections(trial: DetectorTrial) -> list[Prediction]:
    found = [prediction for prediction in trial.found if len(prediction.detections)]
    if not found:
        raise NothingToCheckError("nothing was detected: give images with objects in them")
    return found


CHECKS: dict[str, Callable[[DetectorTrial], str]] = {
    "the detector has the file's spec": _same_spec,
    "it is ready to score": _ready,
    "prepared images fit": _sizes,
    "numbers are finite": _finite,
    "max_score comes before thresholds": _before_threshold,
    "max_score is the highest": _above_detections,
    "thresholds hold": _thresholds,
    "boxes lie inside": _boxes,
    "labels and order are right": _labels,
    "it is deterministic": _repeats,
    "a batch changes nothing": _batches,
    "threads change nothing": _threads,
}
