"""Results of scoring one image."""

import math
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from models.inference.predict import Prediction
from service.text import without_folders

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ScoringFailure:
    """
    The reason why an image has no prediction.

    Attributes:
        is_transient: another attempt may succeed, because the fault need not be the image's.
    """

    reason: str
    is_transient: bool = False


ScoreResult = Prediction | ScoringFailure


def wait_for_result(future: Future[Prediction]) -> ScoreResult:
    """Wait until an image has been scored, and return its prediction or why it has none."""
    error = future.exception()
    if error is not None:
        log.error("scoring failed", exc_info=error)
        shown = without_folders(repr(error))[:200]
        reason = f"the detector failed on this image, it will be tried again: {shown}"
        return ScoringFailure(reason, is_transient=True)
    prediction = future.result()
    if not _is_finite(prediction):
        return ScoringFailure("the detector gave a score or a box that is not a finite number")
    return prediction


def _is_finite(prediction: Prediction) -> bool:
    numbers = [x for x in (prediction.max_score, prediction.log_odds) if x is not None]
    found = prediction.detections
    return (
        all(math.isfinite(x) for x in numbers)
        and bool(found.scores.isfinite().all())
        and bool(found.boxes.isfinite().all())
    )
