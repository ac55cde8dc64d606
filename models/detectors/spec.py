"""All that is needed, beside the weights, to rebuild a detector."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """
    Architecture and the numbers that go with one set of weights.

    Attributes:
        architecture: a name that `models.detectors.build` knows.
        class_names: object classes in label order, background left out; label k is
            `class_names[k - 1]`.
        input_size: (height, width) in pixels for families of fixed input, (shorter side,
            longest side) limits for families that keep the aspect ratio.
        image_mean, image_std: per channel, of pixels scaled to [0, 1].
        score_threshold: detections below it are dropped, in [0, 1].
        nms_threshold: IoU above which the lower of two boxes of one class is dropped.
        detections_per_image: at most so many detections are kept.
    """

    architecture: str
    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]
    score_threshold: float
    nms_threshold: float
    detections_per_image: int
