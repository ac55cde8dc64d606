"""Model versions as clients see them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from hardneg.schemas.jobs import JobOut
from hardneg.schemas.stats import Figures


class ModelVersionOut(BaseModel):
    """One checkpoint under a name; neither ever changes."""

    id: int = Field(examples=[3])
    name: str = Field(examples=["v3"])
    architecture: str = Field(examples=["ssdlite320_mobilenet_v3_large"])
    class_names: list[str] = Field(examples=[["raccoon"]])
    spec: dict[str, object] = Field(
        description="Everything that rebuilds the detector around its weights."
    )
    checkpoint_sha256: str
    checkpoint_size_bytes: int
    parent_id: int | None = Field(description="The version that its training started from.")
    is_serving: bool
    created_at: datetime


class AddedVersion(ModelVersionOut):
    """One version that was just added, or that the same file was already."""

    job: JobOut | None = Field(
        description="The job that measures the version, and with a training run decides whether "
        "it serves; null where nothing is measured."
    )


class PreprocessingWarning(BaseModel):
    """Other preprocessing with which an ONNX file is clearly more accurate on val."""

    settings: list[str] = Field(
        description="Values to add the file with, as `hardneg model add --set` takes them.",
        examples=[["channel_order=bgr"]],
    )
    message: str
    num_images: int = Field(description="Images of val that were tried.", examples=[32])
    ap50_95: float = Field(
        description="AP@[.5:.95] on these images as the version is.", examples=[0.06]
    )
    ap50_95_with_settings: float = Field(
        description="AP@[.5:.95] on them with the other values.", examples=[0.51]
    )


class ScreenMarginOut(BaseModel):
    """The measured error of quick scores (`HARDNEG_BACKEND`), per device and libraries."""

    computed_by: str = Field(
        description="The device and the releases of the libraries.",
        examples=["cpu amx_bf16, torch 2.14.1"],
    )
    num_images: int = Field(
        description="Images that have both a quick and an exact score.", examples=[2643]
    )
    largest_error: float = Field(
        description="Largest difference of log-odds between both scores, on these images and on "
        "noise when the version was loaded.",
        examples=[0.024],
    )
    margin: float | None = Field(
        description="An image whose quick log-odds lie further than this below the first 2,000 of "
        "its source is not scored exactly; null while too few images have both scores.",
        examples=[0.072],
    )
    measured_at: datetime


class ModelVersionDetail(ModelVersionOut):
    """One model version, and how much of the pool it has scored."""

    pool_images: int = Field(description="Images in the pool.", examples=[497])
    scored_images: int = Field(
        description="Images of the pool that the version has scored, or failed on.", examples=[497]
    )
    screen_margins: list[ScreenMarginOut] = Field(
        description="Newest first; empty until the pool is large enough to be screened."
    )
    figures: Figures | None = Field(
        description="What it was last measured at; null until it is measured."
    )
    evaluated_at: datetime | None
    preprocessing_warning: PreprocessingWarning | None = Field(
        description="Null if nothing looks wrong, or nothing was checked."
    )


class OnnxOptions(BaseModel):
    """
    Values that an ONNX file does not tell itself; None leaves one to the preset or a default.

    docs/reference/onnx-detectors.md explains each, and lists the layouts and presets.
    """

    model_config = ConfigDict(extra="forbid")

    preset: str | None = Field(None, examples=["yolox"])
    layout: str | None = Field(None, examples=["yolo"])
    class_names: list[str] | None = Field(None, description="In label order.")
    input_size: tuple[int, int] | None = Field(None, description="(height, width) in pixels.")
    resize: str | None = Field(None, examples=["letterbox"])
    pad_value: int | None = None
    channel_order: str | None = Field(None, examples=["rgb"])
    image_mean: tuple[float, float, float] | None = None
    image_std: tuple[float, float, float] | None = None
    antialias: bool | None = None
    background_column: int | None = None
    first_label: int | None = None
    strides: list[int] | None = None
    cell_offset: float | None = None
    score_threshold: float | None = None
    nms_threshold: float | None = None
    detections_per_image: int | None = None


class InspectedDetector(BaseModel):
    """One ONNX file, and how it would be scored."""

    spec: dict[str, object] = Field(description="Preprocessing, layout and thresholds.")
    class_names: list[str] = Field(examples=[["raccoon"]])
    runtime: str = Field(examples=["ONNX Runtime 1.32.0"])
    inputs: dict[str, list[int | None]] = Field(
        description="Shape of each input; null for a side that varies.",
        examples=[{"images": [None, 3, 640, 640]}],
    )
    outputs: dict[str, list[int]] = Field(
        description="Shape of each output for one image.", examples=[{"output0": [1, 84, 8400]}]
    )
    runs_batches: bool = Field(
        description="Whether several images go through the network together."
    )
