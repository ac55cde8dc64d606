"""Values that the files of well-known exporters have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models.detectors.foreign.spec import ChannelOrder, Layout, Resize

_IMAGENET = {
    "image_mean": (123.675, 116.28, 103.53),
    "image_std": (58.395, 57.12, 57.375),
}
_UNIT = {"image_mean": (0.0, 0.0, 0.0), "image_std": (255.0, 255.0, 255.0)}
_UNSCALED = {"image_mean": (0.0, 0.0, 0.0), "image_std": (1.0, 1.0, 1.0)}
# The scripts of these projects resize with Pillow or torchvision, which filter; others with OpenCV.
_FILTERED = {"resize": Resize.STRETCH, "antialias": True}


@dataclass(frozen=True, slots=True)
class Preset:
    """
    The layouts that an exporter writes, and values of `ForeignSpec` that go with them.

    `layout=suppressed` is in none: its scores lie above a threshold in the file, which users must
    say that they know.
    """

    layouts: tuple[Layout, ...]
    values: Mapping[str, object]


def _preset(*layouts: Layout, **values: object) -> Preset:
    return Preset(layouts, MappingProxyType(values))


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "ultralytics": _preset(
            Layout.YOLO, Layout.TOP_K, resize=Resize.LETTERBOX, pad_value=114, **_UNIT
        ),
        "yolov5": _preset(Layout.YOLO_OBJECTNESS, resize=Resize.LETTERBOX, pad_value=114, **_UNIT),
        "yolox": _preset(
            Layout.YOLOX,
            resize=Resize.LETTERBOX_TOP_LEFT,
            pad_value=114,
            channel_order=ChannelOrder.BGR,
            **_UNSCALED,
        ),
        # NanoDet-Plus; PicoDet puts its points at half a cell: say cell_offset=0.5
        "nanodet": _preset(
            Layout.NANODET,
            resize=Resize.STRETCH,
            channel_order=ChannelOrder.BGR,
            image_mean=(103.53, 116.28, 123.675),
            image_std=(57.375, 57.12, 58.395),
            strides=(8, 16, 32, 64),
        ),
        "rt-detr": _preset(Layout.TOP_QUERIES, Layout.QUERIES, **_FILTERED, **_UNIT),
        "d-fine": _preset(Layout.TOP_QUERIES, Layout.QUERIES, **_FILTERED, **_UNIT),
        "rf-detr": _preset(Layout.QUERIES, **_FILTERED, **_IMAGENET),
        "detr": _preset(Layout.QUERIES_SOFTMAX, **_FILTERED, **_IMAGENET),
        "torchvision": _preset(Layout.DETECTIONS, resize=Resize.STRETCH, first_label=1, **_UNIT),
        "tf": _preset(Layout.TF_DETECTIONS, resize=Resize.STRETCH, first_label=1, **_UNSCALED),
    }
)
