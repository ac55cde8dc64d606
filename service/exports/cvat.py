"""CVAT for images 1.1: one XML file, in which a negative is an image without boxes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from service.exports.images import ExportedImage
from service.exports.places import Places

FOLDER = "images"


def write_cvat(
    folder: Path, images: Iterable[ExportedImage], class_names: Sequence[str], places: Places
) -> None:
    """Write `annotations.xml`; image names are those in the folder of images."""
    from labelformat.formats.cvat import CVATObjectDetectionOutput

    from service.exports.labelformat_input import ExportedLabels

    labels = ExportedLabels(images, class_names, first_id=1)
    CVATObjectDetectionOutput(folder).save(labels)
    _complete(folder / "annotations.xml")


def _complete(path: Path) -> None:
    """Add what CVAT needs and labelformat leaves out."""
    tree = ElementTree.parse(path)
    root = tree.getroot()
    version = ElementTree.Element("version")
    version.text = "1.1"
    root.insert(0, version)
    for box in root.iter("box"):
        box.attrib |= {"source": "manual", "occluded": "0", "z_order": "0"}
    tree.write(path, encoding="utf-8", xml_declaration=True)
