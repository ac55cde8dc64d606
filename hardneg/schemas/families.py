"""Families of look-alikes as clients ask for them and see them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from hardneg.schemas.images import DetectionOut, ImageOut
from hardneg.schemas.text import PlainText

MAX_GROUPED_IMAGES = 5000
MAX_MAPPED_IMAGES = 20_000


class GroupingRequest(BaseModel):
    """A request to group a version's hardest images into families of look-alikes."""

    model_config = ConfigDict(extra="forbid")

    model_version: PlainText | None = Field(
        None,
        min_length=1,
        description="Id or name; the serving version by default.",
        examples=["v1"],
    )
    num_images: int = Field(
        200,
        ge=1,
        le=MAX_GROUPED_IMAGES,
        description="How many of the hardest images to group. About 3.3 times as many as you mine "
        "in a round.",
    )
    num_mapped: int = Field(
        1000,
        ge=0,
        le=MAX_MAPPED_IMAGES,
        description="How many of the hardest images to place on the map and to compare with "
        "others. An image takes about 15 ms the first time.",
    )


class FamilyMember(BaseModel):
    """One image of a family, with the detection that it was grouped by."""

    max_score: float | None = Field(examples=[0.9876])
    detection: DetectionOut | None = Field(
        description="Null if the version was scored again since, and found something else."
    )
    image: ImageOut


class FamilyVerdicts(BaseModel):
    """The number of a family's images with each verdict."""

    negative: int = 0
    contains_object: int = 0
    unsure: int = 0
    none: int = Field(0, description="Images that nobody has judged.")


class FamilyTrend(BaseModel):
    """The images of a family as one version of the same line scored them."""

    model_version_id: int
    model_version: str = Field(examples=["v1"])
    num_pool_images: int = Field(description="The family's images of the pool, scored by it.")
    num_pool_errors: int = Field(description="Those with a score of at least `threshold`.")
    num_sealed_images: int = Field(description="The sealed images that fall to the family.")
    num_sealed_errors: int = Field(description="Those with a score of at least `threshold`.")


class FamilyOut(BaseModel):
    """Images of the pool on which a version detects things that look alike."""

    id: int = Field(description="Changes with the next grouping.")
    number: int = Field(description="Place of the family by its best score, from 1.")
    size: int = Field(description="Images of the pool in the family.", examples=[23])
    max_score: float | None = Field(description="Highest score of its images.", examples=[0.99])
    verdicts: FamilyVerdicts
    num_sealed_false_detections: int = Field(
        description="False detections on sealed images, at `threshold`, that are nearest to this "
        "family.",
        examples=[8],
    )
    sealed_share: float | None = Field(
        description="The same as a share of all false detections on the sealed images that were "
        "compared; null if there are none.",
        examples=[0.25],
    )
    trend: list[FamilyTrend] = Field(
        description="One item for each version of the same line that has scored the family's "
        "images, oldest first: ancestors, this version, and those that came from it."
    )
    members: list[FamilyMember] = Field(description="Its hardest images.")


class FamilyReport(BaseModel):
    """The families of a version's last grouping, by best score."""

    model_version: str = Field(examples=["v1"])
    grouped_at: datetime
    num_images: int = Field(description="Hardest images that were grouped.", examples=[200])
    num_mapped: int = Field(description="Hardest images that are on the map.", examples=[1000])
    num_families: int = Field(examples=[41])
    threshold: float = Field(description="Score from which a detection counts here.")
    num_sealed_false_detections: int = Field(
        description="False detections on the sealed images that were compared: the three best of "
        "each of the 500 hardest.",
        examples=[32],
    )
    num_sealed_without_family: int = Field(
        description="Those of them that look like no family.", examples=[11]
    )
    items: list[FamilyOut]
    next_after_number: int | None = Field(
        description="Value of `after_number` for the next page; null on the last page."
    )


class FamilyPage(BaseModel):
    """One family with a page of its images, hardest first."""

    model_version: str = Field(examples=["v1"])
    id: int
    number: int
    size: int
    verdicts: FamilyVerdicts
    members: list[FamilyMember]
    next_offset: int | None = Field(
        description="Value of `offset` for the next page; null on the last page."
    )
