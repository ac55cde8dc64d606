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


class ModelVersionDetail(ModelVersionOut):
    """One version, and how far it is through the pool."""

    pool_images: int = Field(examples=[497])
    scored_images: int = Field(description="Of the pool's images.", examples=[497])
