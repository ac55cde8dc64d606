"""Score images in batches: the highest foreground probability and the detections of each."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from models.data.images import MAX_PIXELS, decode_file
from models.detectors import PreparedImage, ScoredImage
from models.detectors.detections import Detections
from models.detectors.detector import Dense
from models.detectors.scoring import ScoringDetector


@dataclass(frozen=True, slots=True)
class Prediction:
    """
    A detector's scores for one image.

    Attributes:
        max_score: the highest foreground probability before any threshold, in [0, 1].
        log_odds: its log-odds, computed from logits in float64; images are ranked by it, because
            probabilities of a trained detector crowd at 1.
        detections: those above the spec's thresholds, in pixels of the original, on the CPU.

    Both numbers are None if the network proposed no box at all, NaN if its output was NaN.
    """

    max_score: float | None
    log_odds: float | None
    detections: Detections


def prepare(
    detector: ScoringDetector, data: bytes, *, max_pixels: int = MAX_PIXELS
) -> PreparedImage:
    """
    Decode and resize a file for the network, in the same way for scoring and evaluation.

    A JPEG much larger than the network's input is decoded at a fraction of its size. Raises what
    `decode` raises.
    """
    header, pixels = decode_file(data, detector.decode_size, max_pixels=max_pixels)
    return detector.preprocess(pixels, (header.height, header.width))


@torch.inference_mode()
def predict(
    detector: ScoringDetector,
    images: Sequence[PreparedImage],
    *,
    in_bfloat16: bool = False,
    dense: Dense | None = None,
    min_score: float = 0.0,
) -> list[Prediction]:
    """
    Score images of any sizes; an image's result does not depend on the others.

    Images of the same padded size share a forward pass: none is padded further than it would be
    alone.

    Args:
        detector: in eval mode.
        images: as `prepare` returns them.
        in_bfloat16: compute convolutions and products with 8 bits of precision; faster on
            processors made for it, and accurate to about 0.02 in log-odds.
        dense: compiled code to call in the place of `detector.dense`.
        min_score: detections at or below it are left out, and their boxes are not computed.

    Raises:
        ValueError: The detector is in training mode.
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
            scored = detector.score_images(members, min_score, dense)
        for index, image, result in zip(indices, members, scored, strict=True):
            predictions[index] = _prediction(result, image)
    return [predictions[index] for index in range(len(images))]


def _prediction(scored: ScoredImage, image: PreparedImage) -> Prediction:
    found = scored.detections
    detections = Detections(
        boxes=image.placement.to_original(found.boxes.float().cpu()),
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
