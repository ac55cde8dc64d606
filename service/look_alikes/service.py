"""The rules of images that look alike, and of their map."""

from dataclasses import dataclass
from http import HTTPStatus

import numpy as np
from sqlalchemy.orm import Session

from hardneg.schemas.look_alikes import DuplicateImages, SimilarImage, SimilarImages
from service.errors import ServiceError
from service.families import service as family_service
from service.families.views import family_member
from service.images.service import get_image
from service.images.views import image_out
from service.look_alikes import store
from service.look_alikes.store import Point
from service.model_versions import service as version_service
from service.regions import image_vectors
from service.regions.computing import as_array
from service.tables import ModelVersion


class ImageNotDescribed(ServiceError):
    """An image has no vector by which others could be compared with it."""

    status = HTTPStatus.CONFLICT
    slug = "image-not-described"
    title = "Image is not described"

    def __init__(self, image_id: int, version: str) -> None:
        super().__init__(
            f"nothing that version '{version}' detects on image {image_id} is described: start "
            'POST /families with a higher "num_mapped", which describes so many of the hardest '
            "images. Images without a detection have nothing to describe"
        )


def list_similar(
    session: Session, image_id: int, *, n: int, model_version: str | None
) -> SimilarImages:
    """
    Return the images of the pool that look most like an image, most alike first.

    Raises ImageNotFound, ModelVersionNotFound, NoServingVersion, NotGrouped, ImageNotDescribed.
    """
    get_image(session, image_id)
    version = version_service.named_or_serving(session, model_version)
    family_service.get_grouping(session, version)
    vector = store.find_vector(session, version.id, image_id)
    if vector is None:
        raise ImageNotDescribed(image_id, version.name)
    cosines: dict[int, float] = {}
    for image_ids, vectors in store.vectors_in_pool(session, version.id):
        found = as_array(vectors) @ as_array([vector])[0]
        cosines |= dict(zip(image_ids, np.clip(found, -1, 1).tolist(), strict=True))
    cosines.pop(image_id, None)
    nearest = sorted(cosines, key=lambda other: (-cosines[other], other))[:n]
    members = store.find_members(session, version.id, nearest)
    return SimilarImages(
        model_version=version.name,
        compared_by="region of the best detection",
        num_compared=len(cosines),
        items=[
            SimilarImage(cosine=cosines[other], **dict(family_member(version, members[other])))
            for other in nearest
            if other in members
        ],
    )


def list_duplicates(session: Session, image_id: int, *, limit: int) -> DuplicateImages:
    """Return the near-duplicates of an image, in order of id. Raises ImageNotFound."""
    get_image(session, image_id)
    originals = image_vectors.originals_of(session, [image_id])
    copies = image_vectors.duplicates_of(session, list(originals.values()))
    others = [other for ids in copies.values() for other in ids if other != image_id]
    images = store.find_images(session, others[:limit])
    return DuplicateImages(
        is_described=store.is_described(session, image_id),
        items=[image_out(image) for image in images],
    )


@dataclass(frozen=True, slots=True)
class ShownMap:
    """The points of a version's last grouping as rows of the database."""

    version: ModelVersion
    num_points: int
    points: list[Point]


def show_map(session: Session, model_version: str | None, limit: int) -> ShownMap:
    """
    Return the map of a version's last grouping.

    Raises ModelVersionNotFound, NoServingVersion, NotGrouped.
    """
    version = version_service.named_or_serving(session, model_version)
    family_service.get_grouping(session, version)
    return ShownMap(
        version,
        store.count_points(session, version.id),
        store.points(session, version.id, limit),
    )
