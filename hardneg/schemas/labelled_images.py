"""What clients send and see of labelled images."""

from enum import StrEnum

from pydantic import BaseModel, Field

from hardneg.schemas.images import Box, ImageOut
from hardneg.schemas.problems import Problem


class LabelledSplit(StrEnum):
    """What images with labels may be for."""

    TRAIN = "train"
    VAL = "val"


class LabelledBoxOut(BaseModel):
    """One object."""

    label: str = Field(examples=["raccoon"])
    box: Box


class LabelledImageOut(BaseModel):
    """One labelled image; without boxes it shows no object."""

    image: ImageOut
    boxes: list[LabelledBoxOut]


class LabelledImagePage(BaseModel):
    """Labelled images in order of id."""

    items: list[LabelledImageOut]
    next_after_id: int | None = Field(
        description="Ask again with `after_id` set to this; null on the last page."
    )


class LabelledUploadItem(BaseModel):
    """What became of one image of an upload."""

    file_name: str = Field(examples=["raccoon-1.jpg"])
    status: int = Field(
        description="201 new, 200 known (its boxes are replaced), or a 4xx.", examples=[201]
    )
    image_id: int | None = Field(None, examples=[42])
    num_boxes: int = Field(0, examples=[2])
    problem: Problem | None = None


class LabelProblem(BaseModel):
    """One thing that is wrong with the annotations."""

    item: str = Field(examples=["annotation 12"])
    reason: str = Field(examples=["Its bbox has no area: width 0, height 3."])
    is_refused: bool = Field(description="Whether it was left out; else it was mended as said.")


class LabelledUploadResult(BaseModel):
    """An item for each image of the annotations that could be read, and what was wrong."""

    class_names: list[str] = Field(examples=[["raccoon"]])
    items: list[LabelledUploadItem]
    problems: list[LabelProblem]
