"""Whether an ONNX file finds more objects with another preprocessing than its spec says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.data.ground_truth import GroundTruth
from models.detectors.detections import Detections
from models.detectors.foreign.detector import ForeignDetector
from models.detectors.foreign.spec import ChannelOrder, ForeignSpec, Resize
from models.evaluation.matching import pairwise_iou
from models.inference.predict import predict, prepare

FloatArray = NDArray[np.float64]
PerChannel = tuple[float, float, float]
LabelledFile = tuple[bytes, GroundTruth]

FLOOR = 0.01  # score of an object that is not found
MIN_IMAGES = 8
MIN_GAIN = 0.3  # in log-odds; colours swapped by mistake cost about 0.4
NUM_ERRORS = 3.0  # standard errors: several alternatives are tried
IOU = 0.5
BATCH = 8
# Mean and standard deviation of the usual inputs, in RGB and in units of 0 to 255
SCALES: tuple[tuple[PerChannel, PerChannel], ...] = (
    ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
)


@dataclass(frozen=True, slots=True)
class BetterPreprocessing:
    """
    A preprocessing with which the objects get clearly higher scores.

    Attributes:
        spec: with the other values.
        num_images: labelled images that both were tried on.
        found: share of the objects with a detection at IoU >= 0.5 and score >= 0.5, as it is.
        found_with_spec: the same share with `spec`.
    """

    spec: ForeignSpec
    num_images: int
    found: float
    found_with_spec: float


def find_better_preprocessing(
    detector: ForeignDetector, images: Sequence[bytes], truths: Sequence[GroundTruth]
) -> BetterPreprocessing | None:
    """
    Try other colour orders, ranges of values and ways to resize, on images with objects.

    One is better if the objects' scores, in log-odds, rise on average by `MIN_GAIN` and by three
    standard errors over images. The best is taken, and others are tried on top of it. Returns None
    if none is better, or there are fewer than `MIN_IMAGES` images with objects.

    Raises:
        UnreadableImageError: An image is damaged.
    """
    shown = [pair for pair in zip(images, truths, strict=True) if len(pair[1])]
    if len(shown) < MIN_IMAGES:
        return None
    spec = detector.spec
    first = best = _log_odds_by_image(detector, shown)
    while True:
        found = _best_alternative(detector.with_spec(spec), best, shown)
        if found is None:
            break
        spec, best = found
    if spec == detector.spec:
        return None
    return BetterPreprocessing(spec, len(shown), _share_found(first), _share_found(best))


def _best_alternative(
    detector: ForeignDetector, before: Sequence[FloatArray], shown: Sequence[LabelledFile]
) -> tuple[ForeignSpec, list[FloatArray]] | None:
    """Return the best of the clearly better alternatives, of one change if one helps."""
    for alternatives in (_with_one_change, _with_two_changes):
        tried = {
            spec: _log_odds_by_image(detector.with_spec(spec), shown)
            for spec in alternatives(detector)
        }
        better = [spec for spec, found in tried.items() if _is_clearly_higher(found, before)]
        if better:
            best = max(better, key=lambda spec: _mean(tried[spec]))
            return best, tried[best]
    return None


def _with_one_change(detector: ForeignDetector) -> Iterator[ForeignSpec]:
    spec = detector.spec
    yield _with_swapped_colours(spec)
    yield from _with_other_scales(detector, spec)
    for resize in Resize:
        if resize is not spec.resize:
            yield replace(spec, resize=resize)


def _with_two_changes(detector: ForeignDetector) -> Iterator[ForeignSpec]:
    """Yield specs with other colours and values: where both are wrong, neither helps alone."""
    yield from _with_other_scales(detector, _with_swapped_colours(detector.spec))


def _with_swapped_colours(spec: ForeignSpec) -> ForeignSpec:
    is_bgr = spec.channel_order is ChannelOrder.BGR
    return replace(
        spec,
        channel_order=ChannelOrder.RGB if is_bgr else ChannelOrder.BGR,
        image_mean=_reversed(spec.image_mean),
        image_std=_reversed(spec.image_std),
    )


def _with_other_scales(detector: ForeignDetector, spec: ForeignSpec) -> Iterator[ForeignSpec]:
    for mean, std in SCALES if detector.takes_floats else ():
        if spec.channel_order is ChannelOrder.BGR:
            mean, std = _reversed(mean), _reversed(std)
        if not np.allclose((mean, std), (spec.image_mean, spec.image_std), rtol=0.1):
            yield replace(spec, image_mean=mean, image_std=std)


def _reversed(values: PerChannel) -> PerChannel:
    red, green, blue = values
    return blue, green, red


def _log_odds_by_image(
    detector: ForeignDetector, shown: Sequence[LabelledFile]
) -> list[FloatArray]:
    """Return the log-odds of each image's objects, float [M] each: of their best detections."""
    patient = detector.with_spec(replace(detector.spec, score_threshold=FLOOR))
    found: list[FloatArray] = []
    for start in range(0, len(shown), BATCH):
        batch = shown[start : start + BATCH]
        predictions = predict(patient, [prepare(patient, content) for content, _ in batch])
        found += [
            _log_odds_of_objects(prediction.detections, truth)
            for prediction, (_, truth) in zip(predictions, batch, strict=True)
        ]
    return found


def _log_odds_of_objects(found: Detections, truth: GroundTruth) -> FloatArray:
    iou = pairwise_iou(truth.boxes.double().numpy(), found.boxes.double().numpy())
    fits = (iou >= IOU) & (truth.labels.numpy()[:, None] == found.labels.numpy()[None])
    scores = np.where(fits, found.scores.double().numpy()[None], FLOOR).max(axis=1, initial=FLOOR)
    scores = scores.clip(FLOOR, 1 - 1e-6)
    log_odds: FloatArray = np.log(scores) - np.log1p(-scores)
    return log_odds


def _is_clearly_higher(found: Sequence[FloatArray], before: Sequence[FloatArray]) -> bool:
    gains = np.array([(new - old).mean() for new, old in zip(found, before, strict=True)])
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    return bool(gains.mean() >= max(MIN_GAIN, NUM_ERRORS * error))


def _mean(found: Sequence[FloatArray]) -> float:
    return float(np.mean([image.mean() for image in found]))


def _share_found(found: Sequence[FloatArray]) -> float:
    return float((np.concatenate(found) >= 0).mean())
