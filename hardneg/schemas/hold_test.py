"""The test of images for true objects, as clients ask for it and see it."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from hardneg.schemas.images import Box, DetectionOut, ImageOut
from hardneg.schemas.text import PlainText


class Hold(StrEnum):
    """The treatment of pool images that look as if they held a true object."""

    AUTO = "auto"
    REVIEW = "review"
    OFF = "off"


class Selection(BaseModel):
    """Rules for the choice of new negatives."""

    model_config = ConfigDict(extra="forbid")

    hold: Hold = Field(
        Hold.AUTO,
        description="`auto` does not mine images that look as if they held a true object, and "
        "lists them for review; `review` lists them, and mines them; `off` does not test. A test "
        "that cannot be trusted, as with fewer than 20 labelled boxes, is for review only.",
    )
    collapse: bool = Field(
        False,
        description="Of near-duplicates among the hardest images, mine only the hardest. Not for "
        "fixed cameras, whose images are all alike.",
    )


class HoldTestRequest(BaseModel):
    """A request to test a version's hardest images, and the sealed ones, for true objects."""

    model_config = ConfigDict(extra="forbid")

    model_version: PlainText | None = Field(
        None,
        min_length=1,
        description="Id or name; the serving version by default.",
        examples=["v1"],
    )
    num_images: int = Field(
        200, ge=1, le=10_000, description="How many of the pool's hardest images to test."
    )


class HoldCounts(BaseModel):
    """The number of images of a split that were tested, and that look as if they held an object."""

    tested: int = Field(examples=[200])
    held: int = Field(
        description="Their decision is above 0, and no person has judged them.", examples=[13]
    )


class HoldTestOut(BaseModel):
    """The last test of a version's images for true objects."""

    model_version: str = Field(examples=["v1"])
    tested_at: datetime
    is_trusted: bool = Field(
        description="Whether a retraining with `hold: auto` keeps held images from being mined."
    )
    reason: str = Field(description="Why the test is trusted, or is not.")
    num_objects: int = Field(
        description="Objects that images were compared with: labelled boxes, and detections on "
        "images that a person judged to contain an object.",
        examples=[148],
    )
    num_presumed_negatives: int = Field(
        description="Detections on other images that they were compared with.", examples=[150]
    )
    pool: HoldCounts
    sealed: HoldCounts


class SuspiciousImage(BaseModel):
    """A sealed image that looks as if it held a true object."""

    decision: float = Field(description="Above 0; the higher, the more it looks like an object.")
    detection: DetectionOut | None = Field(
        description="The detection that looks most like an object; null if the version was "
        "scored again since."
    )
    image: ImageOut


class NearestBox(BaseModel):
    """A labelled box that looks like a detection."""

    similarity: float = Field(
        ge=-1, le=1, description="Cosine of the two region vectors.", examples=[0.87]
    )
    label: str = Field(examples=["raccoon"])
    box: Box
    image: ImageOut


class ComparedImage(SuspiciousImage):
    """An image that looks as if it held a true object, and the labelled boxes most like it."""

    nearest: list[NearestBox] = Field(
        description="The most similar first; empty if the vectors of the test are no longer stored."
    )


class HeldPage(BaseModel):
    """A page of the held images of a split, the most object-like first."""

    model_version: str = Field(examples=["v1"])
    num_held: int = Field(description="Images of the split that are held.", examples=[13])
    items: list[ComparedImage]
    next_offset: int | None = Field(
        description="Value of `offset` for the next page; null on the last page. Judged images "
        "leave the list, so begin again after a verdict."
    )


class HoldTestReport(HoldTestOut):
    """The last test of a version's images, with the sealed images that look suspicious."""

    suspicious_sealed: list[SuspiciousImage] = Field(
        description="The first 100, by decision. A true object there counts as a false detection "
        "of every version: judge it `contains-object`, or delete it."
    )
