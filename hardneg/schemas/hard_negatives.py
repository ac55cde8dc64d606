"""The ranked list as clients see it."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from hardneg.schemas.images import DetectionOut, ImageOut


class VerdictFilter(StrEnum):
    """Which images to list, by their verdict."""

    NEGATIVE = "negative"
    UNSURE = "unsure"
    CONTAINS_OBJECT = "contains-object"
    NONE = "none"
    ANY = "any"


class Coverage(BaseModel):
    """Coverage of the pool by the scores of one version."""

    images: int = Field(description="Images in the pool.", examples=[497])
    scored: int = Field(
        description="Those that the version has scored, or failed on.", examples=[497]
    )


class HoldTestSummary(BaseModel):
    """The version's last test of images for true objects."""

    tested_at: datetime
    is_trusted: bool = Field(
        description="Whether a retraining with `hold: auto` keeps held images from being mined."
    )
    reason: str = Field(description="Why the test is trusted, or is not.")


class HiddenDuplicates(BaseModel):
    """The near-duplicates that an image of the collapsed list stands for."""

    count: int = Field(description="Those that pass the filters, too.", examples=[3])
    link: str = Field(examples=["/images/42/duplicates"])


class HardNegative(BaseModel):
    """One image of the pool, with its rank in this list."""

    rank: int = Field(ge=1, description="1 is the hardest.", examples=[1])
    max_score: float | None = Field(
        description="Highest foreground probability before any threshold, in [0, 1]; null ranks "
        "last.",
        examples=[0.9876],
    )
    log_odds: float | None = Field(
        description="Log-odds of `max_score`: the ranking key.", examples=[4.377]
    )
    held: bool | None = Field(
        None,
        description="Whether the version's last hold test takes it for an image of a true object, "
        "and no person has said what it is; null if it was not tested.",
        examples=[False],
    )
    hold_decision: float | None = Field(
        None,
        description="Above 0 it looks like a true object, the more the higher; null if it was not "
        "tested.",
        examples=[-1.2],
    )
    duplicates: HiddenDuplicates | None = Field(
        None, description="Of an image that stands for others in a list with `collapse`."
    )
    detections: list[DetectionOut]
    image: ImageOut


class HardNegativePage(BaseModel):
    """One page of the ranked list, hardest images first."""

    model_version: str = Field(examples=["v1"])
    pool: Coverage
    hold_test: HoldTestSummary | None = Field(None, description="Null while none was done.")
    items: list[HardNegative]
    next_cursor: str | None = Field(
        description="Value of `cursor` for the next page, with the same filters; null on the last "
        "page."
    )
