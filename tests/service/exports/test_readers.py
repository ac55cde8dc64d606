"""Exports, read by the libraries that data sets are looked at and trained with."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.blobs import BlobStore
from service.exports.images import ExportedImage
from tests.service.exports.examples import CLASS_NAMES, exported
from tests.service.exports.unpacking import unpack
from tests.service.pictures import HEIGHT, WIDTH

pytestmark = pytest.mark.slow

# VOC counts pixels from 1 for supervision, and from 0 for labelformat, which writes it.
VOC_SHIFT = [1, 1, 0, 0]


@pytest.fixture
def supervision() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that OpenCV is missing
        import supervision

    return supervision


def _yolo(data_set: Any, root: Path) -> Any:
    return data_set.from_yolo(
        str(root / "images" / "train"), str(root / "labels" / "train"), str(root / "data.yaml")
    )


def _coco(data_set: Any, root: Path) -> Any:
    return data_set.from_coco(str(root / "images"), str(root / "annotations.json"))


def _voc(data_set: Any, root: Path) -> Any:
    return data_set.from_pascal_voc(str(root / "JPEGImages"), str(root / "Annotations"))


@pytest.mark.parametrize(("name", "read"), [("yolo", _yolo), ("coco", _coco), ("voc", _voc)])
def test_supervision_finds_every_box_and_every_negative(
    blobs: BlobStore,
    images: list[ExportedImage],
    tmp_path: Path,
    supervision: Any,
    name: str,
    read: Callable[[Any, Path], Any],
) -> None:
    root = unpack(exported(blobs, images, name), tmp_path / "export")

    found = read(supervision.DetectionDataset, root)

    boxes = {
        Path(path).name: [
            (found.classes[class_id], box)
            for class_id, box in zip(labels.class_id.tolist(), labels.xyxy.tolist(), strict=True)
        ]
        for path, _, labels in found
    }
    shift = VOC_SHIFT if name == "voc" else [0] * 4
    assert boxes == {
        image.name: [
            (
                box.label,
                pytest.approx(
                    [
                        side - moved
                        for side, moved in zip((box.x1, box.y1, box.x2, box.y2), shift, strict=True)
                    ],
                    abs=1e-3,
                ),
            )
            for box in image.objects
        ]
        for image in images
    }
    if name != "voc":
        assert list(found.classes) == CLASS_NAMES


# In a process of its own, for datasets leaves files open.
READ_IMAGE_FOLDER = """
import json, sys
import datasets

read = datasets.load_dataset("imagefolder", data_dir=sys.argv[1], split="train")
rows = [{**row, "image": row["image"].size} for row in read]
print(json.dumps(rows))
"""


@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet"])
def test_datasets_reads_images_with_their_objects(
    blobs: BlobStore, images: list[ExportedImage], tmp_path: Path, name: str
) -> None:
    root = unpack(exported(blobs, images, name), tmp_path / "export")

    output = subprocess.run(
        [sys.executable, "-c", READ_IMAGE_FOLDER, str(root)],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    rows = json.loads(output)
    assert [row["sha256"] for row in rows] == [image.sha256 for image in images]
    assert rows[0]["image"] == [WIDTH, HEIGHT]
    objects = [row["objects"] for row in rows]
    if name == "csv":
        objects = [json.loads(text) for text in objects]
    assert objects[0]["category"] == [CLASS_NAMES[2], CLASS_NAMES[1]]
    assert objects[0]["bbox"] == [[3.25, 10.5, 56.875, 68.5], [0, 0, 96, 80]]
    assert objects[2] == {"bbox": [], "category": []}
    assert rows[2]["verdict"] == "negative"
