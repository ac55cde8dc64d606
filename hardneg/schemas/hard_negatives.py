"""What clients see of the ranked list."""

from enum import StrEnum

from pydantic import BaseModel, Field

from hardneg.schemas.images import DetectionOut, ImageOut


class VerdictFilter(StrEnum):
    """Which images to list, by a person's word on them."""

    NEGATIVE = "negative"
    UNSURE = "unsure"
    CONTAINS_OBJECT = "contains-object"
    NONE = "none"
    ANY = "any"


class Coverage(BaseModel):
    """How much of the pool a version has been through."""

    images: int = Field(description="In the pool.", examples=[497])
    scored: int = Field(description="Of these, by this version, failures included.", examples=[497])


class HardNegative(BaseModel):
    """One image of the pool, with its place in the list asked for."""

    rank: int = Field(ge=1, description="1 is the worst.", examples=[1])
    max_score: float | None = Field(
        description="Highest foreground probability before any threshold; null ranks last.",
        examples=[0.9876],
    )
    log_odds: float | None = Field(
        description="Log-odds of `max_score`: the ranking key.", examples=[4.377]
    )
    detections: list[DetectionOut]
    image: ImageOut


class HardNegativePage(BaseModel):
    """The worst images first."""

    model_version: str = Field(examples=["v1"])
    pool: Coverage
    items: list[HardNegative]
    next_cursor: str | None = Field(
        description="Ask again with this as `cursor`, the same filters; null on the last page."
    )
