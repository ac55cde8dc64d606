"""The formats of exports: where each has its images, and what writes its labels."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardneg.schemas.exports import ExportFormat
from service.exports import coco, cvat, label_studio, rows, voc, yolo
from service.exports.coco import write_coco
from service.exports.csv_table import write_csv
from service.exports.cvat import write_cvat
from service.exports.images import ExportedImage
from service.exports.jsonl_table import write_jsonl
from service.exports.label_studio import write_label_studio
from service.exports.parquet_table import write_parquet
from service.exports.places import Places
from service.exports.voc import write_voc
from service.exports.yolo import write_yolo

# Writes the label files of all images into a folder, and takes each image once, in order.
WriteLabels = Callable[[Path, Iterable[ExportedImage], Sequence[str], Places], None]


@dataclass(frozen=True, slots=True)
class LabelFormat:
    """
    One format of labels.

    Attributes:
        image_folder: the folder of images in the zip.
        write: writes the labels.
    """

    image_folder: str
    write: WriteLabels


LABEL_FORMATS = {
    ExportFormat.YOLO: LabelFormat(yolo.FOLDER, write_yolo),
    ExportFormat.COCO: LabelFormat(coco.FOLDER, write_coco),
    ExportFormat.VOC: LabelFormat(voc.FOLDER, write_voc),
    ExportFormat.CVAT: LabelFormat(cvat.FOLDER, write_cvat),
    ExportFormat.LABEL_STUDIO: LabelFormat(label_studio.FOLDER, write_label_studio),
    ExportFormat.CSV: LabelFormat(rows.FOLDER, write_csv),
    ExportFormat.JSONL: LabelFormat(rows.FOLDER, write_jsonl),
    ExportFormat.PARQUET: LabelFormat(rows.FOLDER, write_parquet),
}
