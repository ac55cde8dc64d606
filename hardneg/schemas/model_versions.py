"""What clients see of model versions."""

from datetime import datetime

from pydantic import BaseModel, Field


class ModelVersionOut(BaseModel):
    """One unchanging checkpoint."""

    id: int = Field(examples=[3])
    name: str = Field(examples=["v3"])
    architecture: str = Field(examples=["ssdlite320_mobilenet_v3_large"])
    class_names: list[str] = Field(examples=[["raccoon"]])
    spec: dict[str, object] = Field(description="All that rebuilds the detector.")
    checkpoint_sha256: str
    checkpoint_size_bytes: int
    parent_id: int | None = Field(description="The version that it was trained from.")
    is_serving: bool
    created_at: datetime


class ScreenMarginOut(BaseModel):
    """How sure the quick scores of a `HARDNEG_BACKEND` are, by what computed them."""

    computed_by: str = Field(
        description="A device and releases of libraries.", examples=["cpu amx_bf16, torch 2.14.1"]
    )
    num_images: int = Field(description="Images that were scored both ways.", examples=[2643])
    largest_error: float = Field(
        description="Of their log-odds, and those of noise at load.", examples=[0.024]
    )
    margin: float | None = Field(
        description="An image whose quick log-odds lie further below the first 2,000 of its source "
        "is not scored exactly; null while too few were scored both ways.",
        examples=[0.072],
    )
    measured_at: datetime


class ModelVersionDetail(ModelVersionOut):
    """One version, and how far it is through the pool."""

    pool_images: int = Field(examples=[497])
    scored_images: int = Field(description="Of the pool's images.", examples=[497])
    screen_margins: list[ScreenMarginOut] = Field(
        description="Newest first; empty until a pool was large enough to be screened."
    )
