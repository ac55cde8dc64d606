"""A search for a preprocessing that suits an ONNX file better than its spec."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.data.ground_truth import GroundTruth
from models.detectors.detections import Detections
from models.detectors.foreign.detector import ForeignDetector
from models.detectors.foreign.spec import ChannelOrder, ForeignSpec, Resize
from models.evaluation.average_precision import bootstrap_ap_difference
from models.evaluation.evaluate import Evaluation
from models.inference.predict import predict, prepare

PerChannel = tuple[float, float, float]
LabelledFile = tuple[bytes, GroundTruth]

MIN_IMAGES = 8
MIN_GAIN = 0.05  # of AP@[.5:.95]; less is not worth a warning
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
    A preprocessing with which a detector is clearly more accurate.

    Attributes:
        spec: with the other values.
        num_images: labelled images that both were tried on.
        ap50_95: AP@[.5:.95] on them, as it is.
        ap50_95_with_spec: the same with `spec`.
    """

    spec: ForeignSpec
    num_images: int
    ap50_95: float
    ap50_95_with_spec: float


def find_better_preprocessing(
    detector: ForeignDetector, images: Sequence[bytes], truths: Sequence[GroundTruth]
) -> BetterPreprocessing | None:
    """
    Try other colour orders, ranges of values and ways to resize, on images with objects.

    One is better if AP@[.5:.95] rises by `MIN_GAIN`, and if a paired bootstrap over images excludes
    with 95 % that it does not. The best is taken, and others are tried on top of it. Returns None
    if none is better, or there are fewer than `MIN_IMAGES` images with objects.

    Raises:
        UnreadableImageError: An image is damaged.
    """
    shown = [pair for pair in zip(images, truths, strict=True) if len(pair[1])]
    if len(shown) < MIN_IMAGES:
        return None
    first = best = PreprocessingTrial(detector.spec, _evaluate(detector, shown))
    while True:
        better = _best_alternative(detector, best, shown)
        if better is None:
            break
        best = better
    if best is first:
        return None
    return BetterPreprocessing(best.spec, len(shown), first.ap50_95, best.ap50_95)


@dataclass(frozen=True, slots=True)
class PreprocessingTrial:
    """A preprocessing with what the detector finds by it."""

    spec: ForeignSpec
    evaluation: Evaluation

    @property
    def ap50_95(self) -> float:
        return self.evaluation.average_precision.ap50_95

    def is_clearly_better_than(self, other: "PreprocessingTrial") -> bool:
        difference = bootstrap_ap_difference(
            self.evaluation.matches, other.evaluation.matches, seed=0
        )
        return difference.value >= MIN_GAIN and difference.low > 0


def _best_alternative(
    detector: ForeignDetector, before: PreprocessingTrial, shown: Sequence[LabelledFile]
) -> PreprocessingTrial | None:
    """Return the best of the clearly better alternatives, of one change if one helps."""
    changed = detector.with_spec(before.spec)
    for alternatives in (_with_one_change, _with_two_changes):
        best = before
        for spec in alternatives(changed):
            trial = PreprocessingTrial(spec, _evaluate(detector.with_spec(spec), shown))
            if trial.is_clearly_better_than(best):
                best = trial
        if best is not before:
            return best
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


def _evaluate(detector: ForeignDetector, shown: Sequence[LabelledFile]) -> Evaluation:
    found: list[Detections] = []
    for start in range(0, len(shown), BATCH):
        prepared = [prepare(detector, content) for content, _ in shown[start : start + BATCH]]
        found += [prediction.detections for prediction in predict(detector, prepared)]
    return Evaluation(
        num_classes=len(detector.spec.class_names),
        truths=tuple(truth for _, truth in shown),
        labelled=tuple(found),
        negatives=(),
    )
