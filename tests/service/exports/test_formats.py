"""Exports, read by other tools' own readers."""

import csv
import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet
import pytest
import yaml
from labelformat.formats.coco import COCOObjectDetectionInput
from labelformat.formats.cvat import CVATObjectDetectionInput
from labelformat.formats.pascalvoc import PascalVOCObjectDetectionInput
from labelformat.formats.yolov8 import YOLOv8ObjectDetectionInput
from labelformat.model.object_detection import ObjectDetectionInput
from pycocotools.coco import COCO

from hardneg.schemas.exports import ExportedImages, ExportFormat
from service.blobs import BlobStore
from service.exports.export import ExportExtraMissing
from service.exports.images import ExportedImage
from tests.service.exports.examples import CLASS_NAMES, Boxes, expected, exported
from tests.service.exports.unpacking import record_of, unpack
from tests.service.pictures import HEIGHT, WIDTH

Export = Callable[..., Path]


@pytest.fixture
def export(blobs: BlobStore, images: list[ExportedImage], tmp_path: Path) -> Export:
    def export(name: str, placed: ExportedImages = ExportedImages.INSIDE) -> Path:
        content = exported(blobs, images, name, placed)
        return unpack(content, tmp_path / "export")

    return export


def boxes_of(labels: ObjectDetectionInput) -> Boxes:
    """Return what labelformat reads: corners to a thousandth of a pixel."""
    return {
        label.image.filename: [
            (
                item.category.name,
                tuple(
                    round(side, 3)
                    for side in (item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax)
                ),
            )
            for item in label.objects
        ]
        for label in labels.get_labels()
    }


def test_yolo_is_read_by_labelformat(export: Export, images: list[ExportedImage]) -> None:
    folder = export("yolo")

    config = yaml.safe_load((folder / "data.yaml").read_text("utf-8"))

    assert boxes_of(YOLOv8ObjectDetectionInput(folder / "data.yaml", "train")) == expected(images)
    assert config["names"] == dict(enumerate(CLASS_NAMES))
    assert "path" not in config  # "." would be the folder that the trainer runs in
    for image in images[1:]:
        label = folder / "labels" / "train" / Path(image.name).with_suffix(".txt")
        assert label.read_bytes() == b""


def test_coco_is_read_by_labelformat_and_pycocotools(
    export: Export, images: list[ExportedImage], capsys: pytest.CaptureFixture[str]
) -> None:
    path = export("coco") / "annotations.json"

    coco = COCO(str(path))

    assert boxes_of(COCOObjectDetectionInput(path)) == expected(images)
    assert [entry["file_name"] for entry in coco.loadImgs(coco.getImgIds())] == [
        image.name for image in images
    ]
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == CLASS_NAMES
    first, second = coco.loadAnns(coco.getAnnIds(imgIds=[7], iscrowd=False))
    assert first["bbox"] == [3.25, 10.5, 56.875, 68.5]
    assert second["area"] == 96 * 80
    assert coco.getAnnIds(imgIds=[8, 9]) == []
    capsys.readouterr()


def test_coco_of_negatives_alone_is_evaluated_by_pycocotools(
    blobs: BlobStore,
    images: list[ExportedImage],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = unpack(exported(blobs, images[2:], "coco"), tmp_path / "negatives")

    coco = COCO(str(folder / "annotations.json"))

    assert coco.getImgIds() == [9]
    found = coco.loadRes([{"image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}])
    assert len(found.getAnnIds()) == 1
    capsys.readouterr()


def test_voc_is_read_by_labelformat(export: Export, images: list[ExportedImage]) -> None:
    folder = export("voc")

    labels = PascalVOCObjectDetectionInput(folder / "Annotations", ",".join(CLASS_NAMES))

    assert boxes_of(labels) == expected(images)
    image_set = (folder / "ImageSets" / "Main" / "train.txt").read_text().splitlines()
    assert image_set == [Path(image.name).stem for image in images]
    for stem in image_set:
        root = ElementTree.parse(folder / "Annotations" / f"{stem}.xml").getroot()
        assert (folder / "JPEGImages" / (root.findtext("filename") or "")).is_file()


def test_cvat_is_read_by_labelformat(export: Export, images: list[ExportedImage]) -> None:
    path = export("cvat") / "annotations.xml"

    boxes = list(ElementTree.parse(path).iter("box"))

    assert boxes_of(CVATObjectDetectionInput(path)) == expected(images)
    assert all(box.attrib["occluded"] == "0" for box in boxes)  # CVAT reads no box without it
    assert len(boxes) == 2


def test_label_studio_tasks_show_objects_and_what_misled_the_version(
    export: Export, images: list[ExportedImage]
) -> None:
    folder = export("label-studio")
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))

    results = [task["annotations"][0]["result"] for task in tasks]
    assert [len(result) for result in results] == [2, 0, 0]
    value = results[0][0]["value"]
    assert value["rectanglelabels"] == ["blue"]
    assert value["x"] * WIDTH / 100 == pytest.approx(3.25)
    assert value["height"] * HEIGHT / 100 == pytest.approx(68.5)
    (prediction,) = tasks[2]["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("v1", 0.75)
    assert prediction["result"][0]["value"]["rectanglelabels"] == ["red"]
    assert tasks[2]["data"]["image"] == f"/data/local-files/?d=images/{images[2].name}"
    config = ElementTree.parse(folder / "label-config.xml").getroot()
    assert [label.attrib["value"] for label in config.iter("Label")] == CLASS_NAMES
    assert results[0][0]["from_name"] == config[1].attrib["name"]


def _csv_rows(folder: Path) -> list[dict[str, Any]]:
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return [row | {"objects": json.loads(row["objects"])} for row in csv.DictReader(file)]


def _jsonl_rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metadata.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _parquet_rows(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / "metadata.parquet").to_pylist()
    return rows


@pytest.mark.parametrize(
    ("name", "read"), [("csv", _csv_rows), ("jsonl", _jsonl_rows), ("parquet", _parquet_rows)]
)
def test_tables_have_a_row_for_each_image(
    export: Export,
    images: list[ExportedImage],
    name: str,
    read: Callable[[Path], list[dict[str, Any]]],
) -> None:
    folder = export(name)

    rows = read(folder)

    assert [row["sha256"] for row in rows] == [image.sha256 for image in images]
    assert rows[0]["objects"] == {
        "bbox": [[3.25, 10.5, 56.875, 68.5], [0, 0, 96, 80]],
        "category": [CLASS_NAMES[2], CLASS_NAMES[1]],
    }
    assert rows[2]["objects"] == {"bbox": [], "category": []}
    assert rows[2]["model_version"] == "v1"
    assert float(rows[2]["max_score"]) == 0.75
    assert all((folder / row["file_name"]).is_file() for row in rows)


@pytest.mark.parametrize("name", ExportFormat)
def test_every_format_has_the_record_and_the_images(
    blobs: BlobStore, images: list[ExportedImage], tmp_path: Path, name: str
) -> None:
    content = exported(blobs, images, name)
    folder = unpack(content, tmp_path / "export")

    lines = record_of(content)

    assert [line["image_id"] for line in lines] == [7, 8, 9]
    for line in lines:
        assert sha256((folder / line["file_name"]).read_bytes()).hexdigest() == line["sha256"]
    assert [line["num_objects"] for line in lines] == [2, 0, 0]
    assert {key: lines[2][key] for key in ("split", "role", "verdict", "verdict_by")} == {
        "split": "pool",
        "role": "mined",
        "verdict": "negative",
        "verdict_by": None,
    }
    assert (lines[2]["model_version"], lines[2]["max_score"]) == ("v1", 0.75)
    assert lines[2]["log_odds"] == 1.1
    box = {"x1": 1.0, "y1": 2.0, "x2": 30.5, "y2": 40.0}
    assert lines[2]["detections"] == [{"label": "red", "score": 0.75, "box": box}]
    assert (lines[0]["model_version"], lines[0]["detections"]) == (None, [])


@pytest.mark.parametrize("name", ExportFormat)
def test_links_lead_to_the_service(
    blobs: BlobStore, images: list[ExportedImage], tmp_path: Path, name: str
) -> None:
    content = exported(blobs, images, name, ExportedImages.LINKS)
    folder = unpack(content, tmp_path / "export")

    assert not list(folder.rglob("*.png"))
    assert [line["url"] for line in record_of(content)] == [
        f"http://hardneg:8000/images/{image.id}/content" for image in images
    ]
    if name == ExportFormat.LABEL_STUDIO:
        tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
        assert tasks[0]["data"]["image"] == "http://hardneg:8000/images/7/content"


@pytest.mark.parametrize("name", ExportFormat)
def test_nothing_to_export_is_an_empty_export(blobs: BlobStore, tmp_path: Path, name: str) -> None:
    content = exported(blobs, [], name)

    assert record_of(content) == []
    assert len(list(unpack(content, tmp_path / "export").iterdir())) > 1


def test_missing_extra_is_named_with_a_remedy(
    blobs: BlobStore, images: list[ExportedImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ExportExtraMissing, match=r"pyarrow.*hardneg\[parquet\]"):
        exported(blobs, images, "parquet")
