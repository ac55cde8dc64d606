"""All that is needed, beside the ONNX file, to score with it."""

from dataclasses import dataclass
from enum import StrEnum

from models.detectors.spec import (
    MAX_DETECTIONS_PER_IMAGE,
    MAX_INPUT_SIDE,
    check_class_names,
)

MIN_SIDE = 16


class Layout(StrEnum):
    """The meaning of a file's outputs; docs/reference/onnx-detectors.md has the shapes."""

    YOLO = "yolo"
    YOLO_OBJECTNESS = "yolo-objectness"
    YOLOX = "yolox"
    TOP_K = "top-k"
    SUPPRESSED = "suppressed"
    QUERIES = "queries"
    QUERIES_SOFTMAX = "queries-softmax"
    TOP_QUERIES = "top-queries"
    NANODET = "nanodet"
    ANCHORS_SOFTMAX = "anchors-softmax"
    DETECTIONS = "detections"
    TF_DETECTIONS = "tf-detections"


class Resize(StrEnum):
    """The way to bring an image of any sides to the network's."""

    STRETCH = "stretch"
    LETTERBOX = "letterbox"
    LETTERBOX_TOP_LEFT = "letterbox-top-left"


class ChannelOrder(StrEnum):
    RGB = "rgb"
    BGR = "bgr"


@dataclass(frozen=True, slots=True)
class ForeignSpec:
    """
    Preprocessing, the meaning of the outputs, and thresholds of one ONNX file.

    Attributes:
        layout: what the outputs mean.
        class_names: object classes in the order of the file's labels, background left out.
        input_size: (height, width) of the network's input in pixels.
        resize: `letterbox` keeps the aspect ratio and pads evenly on both sides,
            `letterbox-top-left` pads at the right and the bottom, `stretch` does neither.
        pad_value: of each padded pixel, in [0, 255].
        channel_order: of the network's input.
        image_mean, image_std: per channel of the input's order, in units of 0 to 255; the input is
            (pixel - mean) / std.
        antialias: whether images are shrunk with a filter as wide as the scale asks for; OpenCV's
            and most exporters' bilinear resize uses none.
        background_column: column of the class scores that stands for no object, from 0; None if
            every column is an object class.
        first_label: number that the file gives to `class_names[0]`, in layouts with labels.
        strides: of the levels of layouts whose boxes are not decoded.
        cell_offset: where in its cell a point of `nanodet` lies, 0 or 0.5.
        score_threshold: detections below it are dropped, in [0, 1].
        nms_threshold: IoU above which the lower of two boxes of one class is dropped, in layouts
            that are not suppressed yet.
        detections_per_image: at most so many detections are kept.

    Raises ValueError for a value out of range: a spec may come from a file of unknown origin.
    """

    layout: Layout
    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    resize: Resize = Resize.LETTERBOX
    pad_value: int = 114
    channel_order: ChannelOrder = ChannelOrder.RGB
    image_mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    image_std: tuple[float, float, float] = (255.0, 255.0, 255.0)
    antialias: bool = False
    background_column: int | None = None
    first_label: int = 0
    strides: tuple[int, ...] = (8, 16, 32)
    cell_offset: float = 0.0
    score_threshold: float = 0.05
    nms_threshold: float = 0.6
    detections_per_image: int = 300

    def __post_init__(self) -> None:
        check_class_names(self.class_names)
        if not all(MIN_SIDE <= side <= MAX_INPUT_SIDE for side in self.input_size):
            raise ValueError(
                f"input_size must be two sides of {MIN_SIDE} to {MAX_INPUT_SIDE} pixels, "
                f"not {self.input_size}"
            )
        if not 0 <= self.pad_value <= 255:
            raise ValueError(f"pad_value must be in [0, 255], not {self.pad_value}")
        if not all(-1e4 <= mean <= 1e4 for mean in self.image_mean):
            raise ValueError(f"image_mean must be numbers in [-1e4, 1e4], not {self.image_mean}")
        if not all(1e-4 <= std <= 1e4 for std in self.image_std):
            raise ValueError(f"image_std must be numbers in [1e-4, 1e4], not {self.image_std}")
        if not self.strides or not all(1 <= stride <= 256 for stride in self.strides):
            raise ValueError(f"strides must be numbers in 1..256, not {self.strides}")
        for name in ("score_threshold", "nms_threshold", "cell_offset"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], not {value}")
        if not 1 <= self.detections_per_image <= MAX_DETECTIONS_PER_IMAGE:
            raise ValueError(
                f"detections_per_image must be 1 to {MAX_DETECTIONS_PER_IMAGE}, "
                f"not {self.detections_per_image}"
            )

    @property
    def architecture(self) -> str:
        """Shown where a detector of this project shows its architecture."""
        return f"onnx:{self.layout}"

    @property
    def num_columns(self) -> int:
        """Columns of the class scores, background included."""
        return len(self.class_names) + (self.background_column is not None)
