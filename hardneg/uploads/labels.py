"""The format of labels, found out from what lies there."""

from pathlib import Path

from hardneg.errors import ClientError
from hardneg.uploads.annotations import AnnotatedFolder, read_coco
from hardneg.uploads.voc_labels import read_voc
from hardneg.uploads.yolo_labels import read_yolo, read_yolo_folder

YAML_SUFFIXES = (".yaml", ".yml")
FORMATS = (
    "COCO JSON, a YOLO data.yaml or its folder of .txt files, or a folder of Pascal VOC .xml files"
)


def read_labels(labels: Path, folder: Path, split: str) -> AnnotatedFolder:
    """
    Read labels in whatever format they are, and look up their images in a folder.

    Args:
        labels: a COCO JSON file, a YOLO `data.yaml`, or a folder that holds one of these, YOLO's
            text files or VOC's XML files.
        folder: the folder of images.
        split: `train` or `val`, for labels that tell them apart.

    Raises:
        ClientError: The labels cannot be read, or are in no known format.
    """
    if labels.is_dir():
        return _read_folder(labels, folder, split)
    if labels.suffix.lower() in YAML_SUFFIXES:
        return read_yolo(labels, folder, split)
    if labels.suffix.lower() in (".txt", ".xml"):
        raise ClientError(f"{labels} is one file: give the folder of all label files")
    return read_coco(labels, folder)


def _read_folder(labels: Path, folder: Path, split: str) -> AnnotatedFolder:
    configs = [path for path in labels.iterdir() if path.suffix.lower() in YAML_SUFFIXES]
    documents = [path for path in labels.iterdir() if path.suffix.lower() == ".json"]
    if len(configs) == 1:
        return read_yolo(configs[0], folder, split)
    if any(labels.rglob("*.xml")):
        return read_voc(labels, folder, split)
    if len(documents) == 1:
        return read_coco(documents[0], folder)
    if any(labels.rglob("*.txt")):
        return read_yolo_folder(labels, folder)
    raise ClientError(f"{labels} holds no labels: --labels takes {FORMATS}")
