"""Model versions as clients see them."""

from datetime import datetime

from pydantic import BaseModel, Field


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
