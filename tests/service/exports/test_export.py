"""The way of an export: labels first, then image by image."""

from itertools import islice
from pathlib import Path

import pytest

from hardneg.schemas.exports import ExportedImages, ExportFormat
from service.blobs import BlobStore
from service.exports.export import ExportOptions, start_export
from service.exports.images import ExportedImage
from tests.service.exports.examples import CLASS_NAMES

OPTIONS = ExportOptions(ExportFormat.YOLO, ExportedImages.INSIDE, "http://hardneg:8000")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_images_are_listed_before_the_first_byte_and_read_after_it(
    blobs: BlobStore, images: list[ExportedImage], temporary: Path
) -> None:
    listed = iter(images)

    exported = start_export(blobs, OPTIONS, "test", CLASS_NAMES, listed)

    assert next(listed, None) is None
    assert exported.name == "test-yolo"
    for image in images:
        blobs.delete(image.blob_key)
    with pytest.raises(FileNotFoundError):
        list(exported.chunks)
    assert [*temporary.iterdir()] == []


def test_nothing_stays_behind_when_the_reader_leaves(
    blobs: BlobStore, images: list[ExportedImage], temporary: Path
) -> None:
    exported = start_export(blobs, OPTIONS, "test", CLASS_NAMES, images)
    begun = list(islice(exported.chunks, 3))
    assert [*temporary.iterdir()] != []

    del exported

    assert len(begun) == 3
    assert [*temporary.iterdir()] == []


def test_failure_before_the_first_byte_leaves_nothing_behind(
    blobs: BlobStore, images: list[ExportedImage], temporary: Path
) -> None:
    with pytest.raises(KeyError):  # the boxes have classes that are not named
        start_export(blobs, OPTIONS, "test", [], images)

    assert [*temporary.iterdir()] == []
