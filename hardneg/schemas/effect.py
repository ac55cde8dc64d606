"""The effect of a training run on false detections, as clients see it."""

from enum import StrEnum

from pydantic import BaseModel, Field

from hardneg.schemas.images import DetectionOut, ImageOut


class Change(StrEnum):
    """The fate of a false detection on a sealed image."""

    VANISHED = "vanished"
    STAYED = "stayed"
    NEW = "new"


class LookAlikeMined(BaseModel):
    """The mined image that looks most like a false detection: no proof that it was the cause."""

    image: ImageOut
    cosine: float = Field(
        description="Of the vectors of the false detection and of the parent version's best "
        "detection on the mined image; what looks alike has .65 and more.",
        examples=[0.81],
    )


class ChangedDetection(BaseModel):
    """One false detection on a sealed image, before and after."""

    change: Change
    before: DetectionOut | None = Field(description="By the parent version; null if it is new.")
    after: DetectionOut | None = Field(description="By the new version; null if it vanished.")
    is_described: bool = Field(
        description="Whether it was compared with families and mined images: of a grouping's "
        "version, the three best detections of the 500 hardest sealed images are."
    )
    family_id: int | None = Field(description="The parent version's family that it falls to.")
    look_alike_mined: LookAlikeMined | None
    image: ImageOut


class FamilyEffect(BaseModel):
    """The changes within one family of the parent version; null is what falls to none."""

    family_id: int | None
    number: int | None
    num_mined: int = Field(description="Images of the family that the run mined.")
    vanished: int
    stayed: int
    new: int


class RunEffect(BaseModel):
    """
    False detections on sealed images that a training run made vanish, left, and brought.

    Both versions' detections are compared on the sealed images that both have scored.
    """

    training_run_id: int
    parent_version: str = Field(examples=["v1"])
    model_version: str = Field(examples=["v2"])
    threshold: float = Field(description="Score from which a detection counts.")
    threshold_after: float = Field(description="The same for the new version.")
    num_sealed_images: int
    vanished: int
    stayed: int
    new: int
    missing_groupings: list[str] = Field(
        description="Versions whose images are not grouped, so that their detections have neither "
        "families nor look-alikes: send each to POST /families as `model_version`. Detections that "
        "vanished or stayed need the parent version's, new ones both."
    )
    families: list[FamilyEffect] = Field(
        description="By the number of false detections before, largest first."
    )
    items: list[ChangedDetection] = Field(
        description="Those that `change` asks for, up to `limit`, highest score first."
    )
