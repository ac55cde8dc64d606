"""The places of exported images: a path in the zip, an address at the service."""

from dataclasses import dataclass

from hardneg.schemas.exports import ExportedImages
from service.exports.images import ExportedImage


@dataclass(frozen=True, slots=True)
class Places:
    """
    Paths in the zip, and addresses at the service.

    Attributes:
        folder: the zip's folder of images, without a slash at its end.
        service_url: the service as the client reached it, without a slash at its end.
        images: whether the zip holds the images.
    """

    folder: str
    service_url: str
    images: ExportedImages

    def path(self, image: ExportedImage) -> str:
        """Return the path of an image in the zip; with links, where its bytes belong."""
        return f"{self.folder}/{image.name}"

    def url(self, image: ExportedImage) -> str:
        """Return the address of an image's bytes."""
        return f"{self.service_url}/images/{image.id}/content"
