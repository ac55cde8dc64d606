"""Everything, beside the weights, that is needed to rebuild a detector."""

from dataclasses import dataclass

MAX_CLASSES = 2000
MAX_CLASS_NAME_LENGTH = 200
MAX_INPUT_SIDE = 2048
MIN_INPUT_SIDE = 32
MAX_DETECTIONS_PER_IMAGE = 10_000


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """
    The architecture, and the numbers that belong to one set of weights.

    Attributes:
        architecture: a name that `models.detectors.build` knows.
        class_names: object classes in label order, background left out; label k is
            `class_names[k - 1]`.
        input_size: (height, width) in pixels for families of fixed input, (shorter side,
            longest side) limits for families that keep the aspect ratio.
        image_mean, image_std: of each channel, for pixels scaled to [0, 1].
        score_threshold: detections below it are dropped, in [0, 1].
        nms_threshold: IoU above which the lower of two boxes of one class is dropped.
        detections_per_image: limit on the detections kept.
        antialias: how images are shrunk. True: on uint8 pixels, with a filter as wide as the scale
            requires. False: by torchvision's float bilinear, which its weights were trained with.
            Images of three times the network's sides and more always go through the filter:
            points that far apart are noise, and no training image was that large.
        freeze_batch_norm: True keeps the statistics of the backbone's BatchNorm layers unchanged
            in training, as suits a pretrained backbone and small batches.

    Raises:
        ValueError: A value is out of range. A spec may come from a file of unknown origin.
    """

    architecture: str
    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]
    score_threshold: float
    nms_threshold: float
    detections_per_image: int
    antialias: bool = False
    freeze_batch_norm: bool = False

    def __post_init__(self) -> None:
        check_class_names(self.class_names)
        sides = self.input_size
        if len(sides) != 2 or not all(MIN_INPUT_SIDE <= side <= MAX_INPUT_SIDE for side in sides):
            raise ValueError(
                f"input_size must be two sides of {MIN_INPUT_SIDE} to {MAX_INPUT_SIDE} pixels, "
                f"not {sides}"
            )
        if len(self.image_mean) != 3 or not all(-10 <= mean <= 10 for mean in self.image_mean):
            raise ValueError(
                f"image_mean must be three numbers in [-10, 10], not {self.image_mean}"
            )
        if len(self.image_std) != 3 or not all(1e-4 <= std <= 1e4 for std in self.image_std):
            raise ValueError(
                f"image_std must be three numbers in [1e-4, 1e4], not {self.image_std}"
            )
        for name in ("score_threshold", "nms_threshold"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], not {value}")
        if not 1 <= self.detections_per_image <= MAX_DETECTIONS_PER_IMAGE:
            raise ValueError(
                f"detections_per_image must be 1 to {MAX_DETECTIONS_PER_IMAGE}, "
                f"not {self.detections_per_image}"
            )


def check_class_names(names: tuple[str, ...]) -> None:
    """Raise ValueError for names that a detector cannot have."""
    if not 1 <= len(names) <= MAX_CLASSES:
        raise ValueError(f"a detector needs 1 to {MAX_CLASSES} class names, not {len(names)}")
    for name in names:
        if not 1 <= len(name) <= MAX_CLASS_NAME_LENGTH:
            raise ValueError(
                f"a class name must have 1 to {MAX_CLASS_NAME_LENGTH} letters: {name[:50]!r}"
            )
        if not name.isprintable():  # a lone surrogate could not be sent or stored, either
            raise ValueError(f"a class name must be printable: {name!a}")
    if len(set(names)) != len(names):
        raise ValueError("class names must differ from each other")
