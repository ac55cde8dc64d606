"""Sources of images as clients see them."""

from datetime import datetime

from pydantic import BaseModel, Field


class SplitCounts(BaseModel):
    """The number of images in each split."""

    pool: int = 0
    negative_test: int = 0
    train: int = 0
    val: int = 0


class SourceOut(BaseModel):
    """One source: a word that came with images, and the images that it came with."""

    source: str = Field(
        description="Empty for images that came without one.", examples=["yard-camera"]
    )
    num_images: int = Field(examples=[497])
    splits: SplitCounts
    num_judged: int = Field(description="Images with a person's verdict.", examples=[40])
    newest_at: datetime = Field(description="When its newest image was stored.")


class SourcePage(BaseModel):
    """One page of sources, in order of their names."""

    items: list[SourceOut]
    next_after: str | None = Field(
        description="Value of `after` for the next page; null on the last page."
    )
