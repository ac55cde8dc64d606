from pathlib import Path

import pytest

from service.blobs import BlobStore
from service.exports.images import ExportedImage
from tests.service.exports.examples import OBJECTS, stored


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore((tmp_path / "blobs").as_uri())


@pytest.fixture
def images(blobs: BlobStore) -> list[ExportedImage]:
    """Store a labelled image, a labelled one without objects, and a mined one."""
    return [
        stored(blobs, 7, "labelled", OBJECTS),
        stored(blobs, 8, "labelled", ()),
        stored(blobs, 9, "mined", ()),
    ]
