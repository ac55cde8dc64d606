"""Exports, read again by `hardneg import` and by the service that it sends them to."""

import json
from pathlib import Path

import pytest

from hardneg.uploads.image_list import listed_images
from hardneg.uploads.labels import read_labels
from models.data.coco import folder_images, read_coco
from service.blobs import BlobStore
from service.exports.images import ExportedImage
from tests.service.exports.examples import CLASS_NAMES, exported
from tests.service.exports.unpacking import unpack


@pytest.mark.parametrize(
    ("name", "labels", "folder"),
    [
        ("yolo", ".", "images/train"),
        ("yolo", "data.yaml", "."),
        ("yolo", "labels/train", "images/train"),
        ("coco", ".", "images"),
        ("coco", "annotations.json", "images"),
        ("voc", ".", "."),
        ("voc", "Annotations", "JPEGImages"),
    ],
)
def test_labels_come_back_as_they_went_out(
    blobs: BlobStore,
    images: list[ExportedImage],
    tmp_path: Path,
    name: str,
    labels: str,
    folder: str,
) -> None:
    root = unpack(exported(blobs, images, name), tmp_path / "export")

    read = read_labels(root / labels, root / folder, "train")
    received = read_coco(json.loads(read.part(read.images)), folder_images(root / folder))

    assert read.refused == ()
    assert received.issues == ()
    found = {
        Path(image.name).name: [
            (received.class_names[label - 1], box)
            for label, box in zip(
                image.truth.labels.tolist(), image.truth.boxes.tolist(), strict=True
            )
        ]
        for image in received.images
    }
    assert found == {
        image.name: [
            (box.label, pytest.approx([box.x1, box.y1, box.x2, box.y2], abs=1e-4))
            for box in image.objects
        ]
        for image in images
    }
    if name != "voc":  # which has no list of classes
        assert list(received.class_names) == CLASS_NAMES


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("csv", "metadata.csv"),
        ("jsonl", "metadata.jsonl"),
        ("parquet", "metadata.parquet"),
        ("yolo", "hardneg.jsonl"),
    ],
)
def test_tables_and_records_are_lists_to_import(
    blobs: BlobStore, images: list[ExportedImage], tmp_path: Path, name: str, listed: str
) -> None:
    root = unpack(exported(blobs, images, name), tmp_path / "export")

    found = listed_images(root / listed)

    assert [path.name for path in found.paths] == [image.name for image in images]
    assert found.refused == []
