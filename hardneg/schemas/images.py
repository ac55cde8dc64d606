"""Images as clients send and see them."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from hardneg.schemas.problems import Problem
from hardneg.schemas.text import PlainText

MAX_JUDGED_BOXES = 1000


class Split(StrEnum):
    """The splits of images without labels."""

    POOL = "pool"
    NEGATIVE_TEST = "negative-test"


class AnySplit(StrEnum):
    """The splits of all images."""

    POOL = "pool"
    NEGATIVE_TEST = "negative-test"
    TRAIN = "train"
    VAL = "val"


class Verdict(StrEnum):
    """A person's verdict on an unlabelled image."""

    NEGATIVE = "negative"
    CONTAINS_OBJECT = "contains-object"
    UNSURE = "unsure"


class Box(BaseModel):
    """The corners of a box, in pixels of the original image when upright."""

    model_config = ConfigDict(allow_inf_nan=False)

    x1: float = Field(examples=[12.5])
    y1: float = Field(examples=[40.0])
    x2: float = Field(examples=[180.25])
    y2: float = Field(examples=[211.0])


class JudgedBox(BaseModel):
    """A person's verdict on one box of an unlabelled image, usually a detection."""

    box: Box
    is_object: bool = Field(description="Whether the box holds an object, or nothing.")
    label: PlainText | None = Field(
        default=None,
        min_length=1,
        description="Class of the object, or the one that was detected falsely. Objects need it.",
        examples=["fox"],
    )


class Judgement(BaseModel):
    """A verdict on one image, and on boxes in it; null takes the image's verdict back."""

    verdict: Verdict | None = Field(examples=["negative"])
    boxes: list[JudgedBox] | None = Field(
        default=None,
        max_length=MAX_JUDGED_BOXES,
        description="Replaces the judged boxes of the image. Without it they stay as they are. An "
        "image with an object among them has the verdict `contains-object`.",
    )
    expected: Verdict | None = Field(
        default=None,
        description="The verdict that the image had when you looked at it; null for none. An image "
        "with another verdict by now keeps it, and the answer is 409. Without this field any "
        "verdict is replaced.",
        examples=[None],
    )


class DetectionOut(BaseModel):
    """One box that the detector returns."""

    label: str = Field(examples=["raccoon"])
    score: float = Field(ge=0, le=1, examples=[0.93])
    box: Box


class ScoreOut(BaseModel):
    """The score of one image by one model version."""

    model_version: str | None = Field(
        description="Name of the version that scored the image; null while it is not scored.",
        examples=["v1"],
    )
    max_score: float | None = Field(
        description="Highest foreground probability before any threshold, in [0, 1].",
        examples=[0.9312],
    )
    log_odds: float | None = Field(
        description="Log-odds of `max_score`: the ranking key, which does not saturate.",
        examples=[2.605],
    )
    detections: list[DetectionOut]
    failure: str | None = Field(
        None, description="Why the image could not be scored; such an image is never ranked."
    )


class ImageLinks(BaseModel):
    """Addresses that belong to one image."""

    self: str = Field(examples=["/images/42"])
    content: str = Field(examples=["/images/42/content"])
    thumbnail: str = Field(examples=["/images/42/thumbnail"])


class ImageOut(BaseModel):
    """One stored image."""

    id: int = Field(examples=[42])
    sha256: str = Field(
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    split: AnySplit
    source: str = Field(examples=["yard-camera"])
    file_name: str = Field(examples=["dusk.jpg"])
    media_type: str = Field(examples=["image/jpeg"])
    size_bytes: int = Field(examples=[48213])
    width: int = Field(description="Width of the upright image, in pixels.", examples=[640])
    height: int = Field(description="Height of the upright image, in pixels.", examples=[480])
    verdict: str | None = Field(
        description="A person's verdict; null if nobody has judged the image.", examples=[None]
    )
    created_at: datetime
    links: ImageLinks


class JudgedImageOut(ImageOut):
    """One stored image with all that a person has judged on it."""

    judged_boxes: list[JudgedBox] = Field(description="A person's verdicts on single boxes.")


class ScoredImageOut(JudgedImageOut, ScoreOut):
    """One stored image with its score by the serving version."""


class UploadItem(BaseModel):
    """The outcome of one file of an upload: an image, or a problem."""

    file_name: str = Field(examples=["dusk.jpg"])
    status: int = Field(
        description="201 new, 200 known already, 202 stored and to be scored, or a 4xx.",
        examples=[201],
    )
    image: ScoredImageOut | None = None
    problem: Problem | None = None


class UploadResult(BaseModel):
    """One item for each file, in the order of the request."""

    items: list[UploadItem]


class ImagePage(BaseModel):
    """One page of images, in order of id."""

    items: list[ImageOut]
    next_after_id: int | None = Field(
        description="Value of `after_id` for the next page; null on the last page."
    )
