"""The image files of a folder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that was not stored, and the reason."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class FoundImages:
    """
    Images to upload.

    Attributes:
        folder: the folder that their names start from.
        paths: the images in the order of their upload.
        num_others: files that were left out, because their names are not those of images.
        refused: what cannot be read.
    """

    folder: Path
    paths: Sequence[Path]
    num_others: int = 0
    refused: Sequence[RefusedFile] = ()

    def name(self, path: Path) -> str:
        """Return a path from the folder on, with slashes; the whole path if it lies elsewhere."""
        return (
            path.relative_to(self.folder) if path.is_relative_to(self.folder) else path
        ).as_posix()


def find_images(folder: Path) -> FoundImages:
    """Find the images under a folder, sorted by path; hidden files and folders are left out."""
    paths: list[Path] = []
    refused: list[RefusedFile] = []
    num_others = 0

    def on_error(error: OSError) -> None:
        refused.append(RefusedFile(Path(error.filename), reason_of(error)))

    for parent, subfolders, names in os.walk(folder, onerror=on_error):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            if name.startswith(".") or not is_image_name(name):
                num_others += 1
            else:
                paths.append(Path(parent, name))
    return FoundImages(folder, sorted(paths), num_others, refused)


def is_image_name(name: str) -> bool:
    """Return whether a file name has the suffix of an image."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def reason_of(error: OSError) -> str:
    """Return why a file cannot be read."""
    return f"cannot be read: {error.strerror}"
