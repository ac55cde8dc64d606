"""
Annotations as the service takes them, image by image; those of COCO, which the service judges.

The service sees the file in parts, so this module checks what no part can show: ids and file names
that occur twice, boxes of images that the file does not name, images that are not in the folder.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hardneg.errors import ClientError

# What the service reads of each entry. The rest, such as segmentations, is left out: it can be a
# hundred times as large.
SIZE_FIELDS = ("width", "height")
ANNOTATION_FIELDS = ("id", "image_id", "category_id", "bbox", "iscrowd")
CATEGORY_FIELDS = ("id", "name")


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """
    One image of the file, with the entries that concern it.

    Attributes:
        image_id: its id in the file.
        name: its file name, as the file gives it.
        path: where its bytes are.
        image: its entry in `images`.
        annotations: its entries in `annotations`, in the file's order.
    """

    image_id: int
    name: str
    path: Path
    image: Mapping[str, object]
    annotations: list[Mapping[str, object]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AnnotatedFolder:
    """
    Annotations in COCO's form and the folder of their images, ready to be sent in parts.

    Attributes:
        images: those that can be sent, in the order of the labels.
        categories: the categories, which every part repeats.
        refused: a line for each entry that cannot be sent.
    """

    images: tuple[AnnotatedImage, ...]
    categories: tuple[object, ...]
    refused: tuple[str, ...]

    def part(self, images: Sequence[AnnotatedImage]) -> bytes:
        """Return COCO JSON of a few of the images, with all categories."""
        coco = {
            "images": [image.image for image in images],
            "annotations": [entry for image in images for entry in image.annotations],
            "categories": self.categories,
        }
        return json.dumps(coco).encode()


def read_coco(labels: Path, folder: Path) -> AnnotatedFolder:
    """
    Read COCO JSON, and look up its images in a folder.

    Raises:
        ClientError: The file cannot be read, is not JSON, or lacks one of the three lists.
    """
    try:
        content = json.loads(labels.read_bytes())
    except OSError as error:
        raise ClientError(f"cannot read {labels}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ClientError(f"{labels} is not JSON: {error}") from error
    lists = content if isinstance(content, dict) else {}
    images, annotations = lists.get("images"), lists.get("annotations")
    categories = lists.get("categories")
    if not (
        isinstance(images, list) and isinstance(annotations, list) and isinstance(categories, list)
    ):
        raise ClientError(
            f"{labels}: COCO instances need the lists images, annotations and categories"
        )
    splitting = _Splitting(_files_in(folder))
    for position, image in enumerate(images):
        splitting.add_image(position, image)
    for position, annotation in enumerate(annotations):
        splitting.add_annotation(position, annotation)
    return AnnotatedFolder(
        tuple(splitting.images.values()),
        tuple(_cut(category, CATEGORY_FIELDS) for category in categories),
        tuple(splitting.refused),
    )


class _Splitting:
    """The images of one file, filled entry by entry."""

    def __init__(self, find_file: Callable[[str], Path | None]) -> None:
        self.images: dict[int, AnnotatedImage] = {}
        self.refused: list[str] = []
        self._find_file = find_file
        self._refused_ids: set[int] = set()
        self._names: set[str] = set()
        self._annotation_ids: set[int | str] = set()

    def add_image(self, position: int, entry: object) -> None:
        match entry:
            case {"id": int(image_id), "file_name": str(name), **rest}:
                named = {"id": image_id, "file_name": name}
                self._add_named_image(image_id, name, named | _fields(rest, SIZE_FIELDS))
            case _:
                self._refuse(f"image #{position}", "It needs a whole number id and a file_name.")

    def _add_named_image(self, image_id: int, name: str, entry: Mapping[str, object]) -> None:
        item = f"image {image_id}"
        if image_id in self.images or image_id in self._refused_ids:
            self._refuse(item, "Another image has this id.")
            return
        path = self._find_file(name)
        if name in self._names:
            self._refuse(item, f"Another image has the file name {name}.")
        elif path is None:
            self._refuse(item, f"There is no file {name}.")
        else:
            self.images[image_id] = AnnotatedImage(image_id, name, path, entry)
            self._names.add(name)
            return
        self._refused_ids.add(image_id)

    def add_annotation(self, position: int, entry: object) -> None:
        if not isinstance(entry, dict):
            self._refuse(f"annotation #{position}", "It is not an object.")
            return
        image_id = entry.get("image_id")
        if isinstance(image_id, int) and image_id in self._refused_ids:
            return  # named already, with its image
        annotation_id = entry.get("id", f"#{position}")  # a part has other positions
        item = f"annotation {annotation_id}"
        if isinstance(annotation_id, int | str):
            if annotation_id in self._annotation_ids:
                self._refuse(item, "Another annotation has this id.")
                return
            self._annotation_ids.add(annotation_id)
        if not isinstance(image_id, int) or image_id not in self.images:
            self._refuse(item, f"There is no image {image_id!r}.")
            return
        cut = _fields(entry, ANNOTATION_FIELDS)
        self.images[image_id].annotations.append({"id": annotation_id, **cut})

    def _refuse(self, item: str, reason: str) -> None:
        self.refused.append(printable(f"{item}: {reason}"))


def printable(text: str) -> str:
    """Escape lone surrogates, which JSON can hold and a terminal cannot show."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _files_in(folder: Path) -> Callable[[str], Path | None]:
    """Return a function that finds a file by its name; None for one outside of the folder."""
    root = folder.resolve()

    def find(file_name: str) -> Path | None:
        try:
            file_name.encode("utf-8")  # as it will travel
            path = (root / file_name).resolve()
            return path if path.is_relative_to(root) and path.is_file() else None
        except (OSError, ValueError):  # no file can have this name
            return None

    return find


def _cut(entry: object, names: Sequence[str]) -> object:
    return _fields(entry, names) if isinstance(entry, dict) else entry


def _fields(entry: Mapping[object, object], names: Sequence[str]) -> dict[str, object]:
    return {name: entry[name] for name in names if name in entry}
