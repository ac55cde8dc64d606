"""Labelled images as clients send and see them."""

from enum import StrEnum

from pydantic import BaseModel, Field

from hardneg.schemas.images import Box, ImageOut
from hardneg.schemas.problems import Problem


class LabelledSplit(StrEnum):
    """The splits of labelled images."""

    TRAIN = "train"
    VAL = "val"


class LabelledBoxOut(BaseModel):
    """One object: its class and its box."""

    label: str = Field(examples=["raccoon"])
    box: Box


class LabelledImageOut(BaseModel):
    """One labelled image; without boxes it shows no object."""

    image: ImageOut
    boxes: list[LabelledBoxOut]


class LabelledImagePage(BaseModel):
    """One page of labelled images, in order of id."""

    items: list[LabelledImageOut]
    next_after_id: int | None = Field(
        description="Value of `after_id` for the next page; null on the last page."
    )


class LabelledUploadItem(BaseModel):
    """The outcome of one image of a labelled upload."""

    file_name: str = Field(examples=["raccoon-1.jpg"])
    status: int = Field(
        description="201 new, 200 known already (its boxes are replaced), or a 4xx.", examples=[201]
    )
    image_id: int | None = Field(None, examples=[42])
    num_boxes: int = Field(0, examples=[2])
    problem: Problem | None = None


class LabelProblem(BaseModel):
    """One thing that is wrong with COCO annotations."""

    item: str = Field(examples=["annotation 12"])
    reason: str = Field(examples=["Its bbox has no area: width 0, height 3."])
    is_refused: bool = Field(
        description="Whether the item was left out; if not, it was mended as the reason says."
    )


class LabelledUploadResult(BaseModel):
    """The outcome of each image that could be read, and everything wrong with the annotations."""

    class_names: list[str] = Field(examples=[["raccoon"]])
    items: list[LabelledUploadItem]
    problems: list[LabelProblem] = Field(description="The first 1,000.")
    num_problems: int = Field(0, description="How many there are in all.", examples=[0])
