"""Exports as tests look at them."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any


def unpack(content: bytes, folder: Path) -> Path:
    """Unpack a zip, and return the folder."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return folder


def record_of(content: bytes) -> list[dict[str, Any]]:
    """Return the lines of an export's `hardneg.jsonl`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [json.loads(line) for line in archive.read("hardneg.jsonl").splitlines()]
