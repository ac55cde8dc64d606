"""One verdict for many images as clients send and see it."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hardneg.schemas.families import MAX_GROUPED_IMAGES
from hardneg.schemas.images import Verdict
from hardneg.schemas.problems import Problem

MAX_JUDGED_IMAGES = 1000

ImageId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class VerdictRequest(BaseModel):
    """One verdict for many images: chosen ones, or those of a family."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict | None = Field(description="Null takes verdicts back.", examples=["negative"])
    image_ids: list[ImageId] | None = Field(
        None, min_length=1, max_length=MAX_JUDGED_IMAGES, examples=[[42, 57]]
    )
    family_id: ImageId | None = Field(
        None, description="In place of `image_ids`: all images of this family.", examples=[None]
    )
    expected: dict[ImageId, Verdict | None] = Field(
        {},
        max_length=MAX_GROUPED_IMAGES,
        description="The verdict that each image had when you looked at it, by image id; without "
        "an entry, none. An image with another verdict by now is a conflict, and keeps it.",
        examples=[{"42": "unsure"}],
    )
    overwrite: bool = Field(
        False, description="Judge the images whatever verdicts they have; `expected` is ignored."
    )

    @model_validator(mode="after")
    def _is_about_one_thing(self) -> Self:
        if (self.image_ids is None) == (self.family_id is None):
            raise ValueError("give either 'image_ids' or 'family_id'")
        return self


class VerdictResult(StrEnum):
    """The result of a verdict for one of many images."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    REFUSED = "refused"


class JudgedItem(BaseModel):
    """One image of a verdict for many."""

    image_id: int
    result: VerdictResult = Field(
        description="`unchanged` had the verdict already; `conflict` has one that was not "
        "expected; `refused` cannot have it."
    )
    verdict_before: Verdict | None = Field(
        description="To undo the change, send it again as `verdict`, and the new one as `expected`."
    )
    verdict: Verdict | None = Field(description="The verdict that the image has now.")
    problem: Problem | None = Field(None, description="Of a conflict or a refusal.")


class VerdictReport(BaseModel):
    """One item for each image, in the order of the request or of the family."""

    num_changed: int
    num_unchanged: int
    num_conflicts: int
    num_refused: int
    items: list[JudgedItem]
