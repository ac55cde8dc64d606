"""Images that look alike, and their places on a map, as clients see them."""

from pydantic import BaseModel, Field

from hardneg.schemas.families import FamilyMember
from hardneg.schemas.images import AnySplit, ImageOut, Verdict


class SimilarImage(FamilyMember):
    """An image whose best detection looks like another image's."""

    cosine: float = Field(
        description="Cosine of the vectors of the two detections, in [-1, 1]; what looks alike "
        "has .65 and more.",
        examples=[0.83],
    )


class SimilarImages(BaseModel):
    """The images of the pool that look most like one image, by a version's best detections."""

    model_version: str = Field(examples=["v1"])
    compared_by: str = Field(
        description="The vectors that are compared.", examples=["region of the best detection"]
    )
    num_compared: int = Field(description="Images of the pool that have such a vector.")
    items: list[SimilarImage]


class DuplicateImages(BaseModel):
    """The near-duplicates of one image in the pool, found by the vectors of whole images."""

    is_described: bool = Field(
        description="Whether the image was compared; `POST /families` compares the hardest images."
    )
    items: list[ImageOut]


class MapPoint(BaseModel):
    """One detection on the map of a grouping: an image's best in the pool."""

    image_id: int
    split: AnySplit
    position: int = Field(description="Of the detection, by score; 0 is the image's best.")
    x: float
    y: float
    score: float | None = Field(
        description="Of the detection; null if the version was scored again since."
    )
    verdict: Verdict | None
    family_id: int | None
    family_number: int | None


class LookAlikeMap(BaseModel):
    """
    The detections of a version's last grouping on a plane: what looks alike lies close together.

    The coordinates are the two principal components of all their vectors.
    """

    model_version: str = Field(examples=["v1"])
    num_points: int = Field(description="Of the grouping; `items` has no more than `limit`.")
    items: list[MapPoint]
