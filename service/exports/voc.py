"""Pascal VOC: an XML file for each image, without objects for a negative."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from service.exports.images import ExportedImage
from service.exports.places import Places

FOLDER = "JPEGImages"


def write_voc(
    folder: Path, images: Iterable[ExportedImage], class_names: Sequence[str], places: Places
) -> None:
    """Write `Annotations/*.xml`, and the names of all images in `ImageSets/Main/train.txt`."""
    from labelformat.formats.pascalvoc import PascalVOCObjectDetectionOutput

    from service.exports.labelformat_input import ExportedLabels

    image_set = folder / "ImageSets" / "Main" / "train.txt"
    image_set.parent.mkdir(parents=True)
    with image_set.open("w", encoding="utf-8") as file:
        labels = ExportedLabels(_listed(images, file.write), class_names, first_id=1)
    PascalVOCObjectDetectionOutput(folder / "Annotations").save(labels)


def _listed(
    images: Iterable[ExportedImage], write: Callable[[str], object]
) -> Iterator[ExportedImage]:
    """Pass images on, and write the name of each without its suffix."""
    for image in images:
        write(f"{Path(image.name).stem}\n")
        yield image
