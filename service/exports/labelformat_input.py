"""
Exported images as `labelformat` takes them.

Import this where labels are written: labelformat loads in a fifth of a second, as long as the start
of the service can do without it.
"""

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence

from labelformat.model.bounding_box import BoundingBox
from labelformat.model.category import Category
from labelformat.model.image import Image as LabelledFile
from labelformat.model.object_detection import (
    ImageObjectDetection,
    ObjectDetectionInput,
    SingleObjectDetection,
)

from service.exports.images import ExportedBox, ExportedImage


class ExportedLabels(ObjectDetectionInput):
    """The images of an export with their objects; each without objects has an empty list."""

    def __init__(
        self,
        images: Iterable[ExportedImage],
        class_names: Sequence[str],
        *,
        first_id: int,
        folder: str = "",
    ) -> None:
        """
        Take over all images; of each, only what labels need.

        Args:
            images: in the order in which they are written.
            class_names: in label order.
            first_id: the id of the first class: COCO counts from 1, YOLO from 0.
            folder: goes before every file name, with a slash at its end.
        """
        self._categories = [Category(id_, name) for id_, name in enumerate(class_names, first_id)]
        by_name = {category.name: category for category in self._categories}
        self._labels = [
            ImageObjectDetection(
                LabelledFile(image.id, f"{folder}{image.name}", image.width, image.height),
                [_object(box, by_name) for box in image.objects],
            )
            for image in images
        ]

    @staticmethod
    def add_cli_arguments(parser: ArgumentParser) -> None:
        """Add nothing: only labelformat's own command calls this."""

    def get_categories(self) -> Iterable[Category]:
        return self._categories

    def get_images(self) -> Iterable[LabelledFile]:
        return (label.image for label in self._labels)

    def get_labels(self) -> Iterable[ImageObjectDetection]:
        return self._labels


def _object(box: ExportedBox, categories: dict[str, Category]) -> SingleObjectDetection:
    return SingleObjectDetection(categories[box.label], BoundingBox(box.x1, box.y1, box.x2, box.y2))
