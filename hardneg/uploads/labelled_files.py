"""Labels that come as one file for each image, brought into COCO's form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hardneg.uploads.annotations import AnnotatedFolder, AnnotatedImage, printable


@dataclass(frozen=True, slots=True)
class LabelledObject:
    """
    One object: its class, and its box in pixels of the upright image.

    Attributes:
        place: file and line, for messages.
    """

    place: str
    class_name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(slots=True)
class LabelledFiles:
    """Images with their objects, added one by one, and what cannot be used."""

    class_names: Sequence[str]
    images: list[AnnotatedImage] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def add(
        self,
        path: Path,
        name: str,
        objects: Sequence[LabelledObject],
        size: tuple[int, int] | None,
    ) -> None:
        """Add an image; `size` is what the service shall find, as width and height."""
        image_id = len(self.images) + 1
        entry: dict[str, object] = {"id": image_id, "file_name": name}
        if size is not None:
            entry |= {"width": size[0], "height": size[1]}
        annotations: list[Mapping[str, object]] = [
            {
                "id": item.place,  # the service names an annotation by its id
                "image_id": image_id,
                "category_id": self.class_names.index(item.class_name) + 1,
                "bbox": [item.x, item.y, item.width, item.height],
            }
            for item in objects
        ]
        self.images.append(AnnotatedImage(image_id, name, path, entry, annotations))

    def refuse(self, place: str, reason: str) -> None:
        """Note what cannot be used; `place` is a file, perhaps with a line."""
        self.refused.append(printable(f"{place}: {reason}"))

    def folder(self) -> AnnotatedFolder:
        """Return all images, ready to be sent."""
        categories = tuple(
            {"id": number, "name": name} for number, name in enumerate(self.class_names, 1)
        )
        return AnnotatedFolder(tuple(self.images), categories, tuple(self.refused))
