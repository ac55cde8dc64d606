"""Images to export, and what an export of them must say."""

from hashlib import sha256

from hardneg.schemas.exports import ExportedImages, ExportFormat
from service.blobs import BlobStore
from service.exports.export import ExportOptions, start_export
from service.exports.images import ExportedBox, ExportedImage, ScoreByVersion
from service.exports.names import exported_name
from tests.service.pictures import HEIGHT, WIDTH, picture

CLASS_NAMES = ["red", 'füchse & "co" <2>', "blue"]
OBJECTS = (
    ExportedBox(CLASS_NAMES[2], 3.25, 10.5, 60.125, 79.0),
    ExportedBox(CLASS_NAMES[1], 0.0, 0.0, 96.0, 80.0),
)
DETECTED = ExportedBox("red", 1.0, 2.0, 30.5, 40.0, 0.75)

Boxes = dict[str, list[tuple[str, tuple[float, ...]]]]


def stored(
    blobs: BlobStore, image_id: int, role: str, objects: tuple[ExportedBox, ...]
) -> ExportedImage:
    """Store a picture, and return it as it is exported."""
    content = picture(image_id)
    digest = sha256(content).hexdigest()
    blobs.put(digest, content)
    is_mined = role == "mined"
    return ExportedImage(
        id=image_id,
        name=exported_name(f"{image_id}.png", digest, "image/png"),
        sha256=digest,
        blob_key=digest,
        size_bytes=len(content),
        width=WIDTH,
        height=HEIGHT,
        split="pool" if is_mined else "train",
        source="yard",
        uploaded_as=f"{image_id}.png",
        verdict="negative" if is_mined else None,
        role=role,
        rank=None,
        score=ScoreByVersion("v1", 0.75, 1.1, [DETECTED]) if is_mined else None,
        objects=objects,
    )


def exported(
    blobs: BlobStore,
    images: list[ExportedImage],
    name: str,
    placed: ExportedImages = ExportedImages.INSIDE,
) -> bytes:
    """Return the zip of an export."""
    options = ExportOptions(ExportFormat(name), placed, "http://hardneg:8000")
    return b"".join(start_export(blobs, options, "test", CLASS_NAMES, images).chunks)


def expected(images: list[ExportedImage]) -> Boxes:
    """Return the labelled boxes of each image, as corners in pixels."""
    return {
        image.name: [(box.label, (box.x1, box.y1, box.x2, box.y2)) for box in image.objects]
        for image in images
    }
