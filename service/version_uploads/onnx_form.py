"""The fields of a form that say what an ONNX file does not say itself."""

from typing import Annotated

from fastapi import Form
from pydantic import Field

from hardneg.schemas.text import PlainText
from models.detectors.foreign.inspection import SpecOverrides
from models.detectors.foreign.presets import PRESETS
from models.detectors.foreign.spec import ChannelOrder, Layout, Resize

Side = Annotated[int, Field(ge=16, le=2048)]
Number = Annotated[float, Field(allow_inf_nan=False)]


def spec_overrides(
    preset: Annotated[
        PlainText | None,
        Form(description=f"Exporter of an ONNX file: {', '.join(PRESETS)}."),
    ] = None,
    layout: Annotated[
        Layout | None, Form(description="What its outputs mean, where they do not tell.")
    ] = None,
    class_names: Annotated[
        list[PlainText] | None, Form(description="Object classes, one field each, in label order.")
    ] = None,
    input_size: Annotated[
        list[Side] | None,
        Form(description="Height and width, two fields, of an ONNX file that takes any size."),
    ] = None,
    resize: Annotated[
        Resize | None, Form(description="How an image is brought to the input size.")
    ] = None,
    pad_value: Annotated[
        int | None, Form(ge=0, le=255, description="Value of padded pixels.")
    ] = None,
    channel_order: Annotated[
        ChannelOrder | None, Form(description="Of the ONNX file's input.")
    ] = None,
    image_mean: Annotated[
        list[Number] | None,
        Form(description="Three fields, subtracted from pixels in [0, 255], in the input's order."),
    ] = None,
    image_std: Annotated[
        list[Number] | None, Form(description="Three fields that pixels are divided by after that.")
    ] = None,
    antialias: Annotated[
        bool | None, Form(description="Whether images are shrunk with a filter.")
    ] = None,
    background_column: Annotated[
        int | None, Form(ge=0, le=10_000, description="Column of the scores that is no class.")
    ] = None,
    first_label: Annotated[
        int | None, Form(ge=0, le=10_000, description="Number of the first class in its labels.")
    ] = None,
    strides: Annotated[
        list[int] | None, Form(description="Of levels whose boxes are not decoded, one field each.")
    ] = None,
    cell_offset: Annotated[
        float | None, Form(ge=0, le=1, description="Where in a cell its point lies.")
    ] = None,
    score_threshold: Annotated[
        float | None, Form(ge=0, le=1, description="Detections below it are dropped.")
    ] = None,
    nms_threshold: Annotated[
        float | None, Form(ge=0, le=1, description="IoU above which overlapping boxes are dropped.")
    ] = None,
    detections_per_image: Annotated[
        int | None, Form(ge=1, le=10_000, description="Most detections of an image.")
    ] = None,
) -> SpecOverrides:
    """Gather the fields; see `ForeignSpec` for their meaning."""
    return SpecOverrides.of(
        {
            "preset": preset,
            "layout": layout,
            "class_names": class_names,
            "input_size": input_size,
            "resize": resize,
            "pad_value": pad_value,
            "channel_order": channel_order,
            "image_mean": image_mean,
            "image_std": image_std,
            "antialias": antialias,
            "background_column": background_column,
            "first_label": first_label,
            "strides": strides,
            "cell_offset": cell_offset,
            "score_threshold": score_threshold,
            "nms_threshold": nms_threshold,
            "detections_per_image": detections_per_image,
        }
    )
