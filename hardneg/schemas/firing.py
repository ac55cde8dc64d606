"""Images without objects on which a version stopped or started firing, as clients see them."""

from enum import StrEnum

from pydantic import BaseModel, Field

from hardneg.schemas.images import DetectionOut, ImageOut


class FiringChange(StrEnum):
    """The change of an image between two versions; an image on which neither fires has none."""

    STOPPED = "stopped"
    STARTED = "started"
    STAYED = "stayed"


class ComparedScore(BaseModel):
    """The score of one image by one of two versions that are compared."""

    max_score: float | None = Field(examples=[0.93])
    detections: list[DetectionOut] = Field(description="All that are kept, highest score first.")


class FiringImage(BaseModel):
    """One image, as both versions see it."""

    before: ComparedScore
    now: ComparedScore
    is_trained: bool = Field(
        description="Whether the later version or an ancestor was trained on the image."
    )
    image: ImageOut


class FiringReport(BaseModel):
    """
    The images on which a version fires and another does not.

    A version fires on an image without an object if it detects something there, at its threshold.
    """

    before: str = Field(description="Name of the version to compare with.", examples=["v1"])
    model_version: str = Field(examples=["v2"])
    threshold_before: float = Field(description="Score from which a detection of it counts.")
    threshold: float = Field(description="The same of `model_version`.")
    split: str = Field(examples=["negative-test"])
    num_images: int = Field(
        description="Images of the split that both versions have scored, and that nobody has "
        "judged to contain an object."
    )
    num_unscored: int = Field(description="All other images of the split.")
    stopped: int = Field(description="Images on which only `before` fires.", examples=[11])
    started: int = Field(description="Images on which only `model_version` fires.", examples=[1])
    stayed: int = Field(description="Images on which both fire.", examples=[4])
    items: list[FiringImage] = Field(
        description="A page of the images with the requested change, the surest detection first."
    )
    next_offset: int | None = Field(
        description="Value of `offset` for the next page; null on the last page."
    )
