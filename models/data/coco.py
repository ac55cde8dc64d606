"""COCO JSON to labelled images, with a list of everything that is wrong in the JSON."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from models.data.datasets import LabelledImage, Reader
from models.data.ground_truth import GroundTruth
from models.data.images import UnreadableImageError, read_header

MAX_BOXES_PER_IMAGE = 10_000
CLIP_TOLERANCE = 1.0  # pixels; annotation tools often round a box to one pixel past the edge


class CocoFormatError(ValueError):
    """A file that is not COCO instances at all; nothing in it can be used."""


@dataclass(frozen=True, slots=True)
class AnnotationIssue:
    """
    One thing that is wrong in COCO annotations.

    Attributes:
        item: the entry concerned, such as `image 7` or `annotation 12`.
        reason: a sentence that the author of the annotations can act on.
        is_refused: True if the item was left out, False if it was corrected as the reason says.
    """

    item: str
    reason: str
    is_refused: bool = True


@dataclass(frozen=True, slots=True)
class CocoReading:
    """
    The usable part of COCO JSON, and the issues with the rest.

    Attributes:
        class_names: in label order; label k is `class_names[k - 1]`.
        images: the usable ones, in the file's order.
        issues: in the file's order, categories first, then images, then annotations.
    """

    class_names: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    issues: tuple[AnnotationIssue, ...]


def folder_images(folder: Path) -> Callable[[str], Reader | None]:
    """Return a lookup of files in a folder; it gives None for missing files and paths outside."""
    root = folder.resolve()

    def find(file_name: str) -> Reader | None:
        path = (root / file_name).resolve()
        return path.read_bytes if path.is_relative_to(root) and path.is_file() else None

    return find


def read_coco_file(path: Path, class_names: Sequence[str] | None = None) -> CocoReading:
    """
    Read an annotation file with its images in the same folder.

    Raises:
        CocoFormatError: The file is not JSON, or not COCO instances.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise CocoFormatError(f"{path.name} is not JSON: {error}") from error
    return read_coco(content, folder_images(path.parent), class_names)


def read_coco(
    content: object,
    find_image: Callable[[str], Reader | None],
    class_names: Sequence[str] | None = None,
) -> CocoReading:
    """
    Read COCO instances; collect issues item by item, and keep everything else.

    Boxes that reach past the image are clipped to it, without an issue up to one pixel. Boxes
    outside the image, without area or not finite are left out. So are crowd regions, unknown
    classes and images, duplicate ids and file names, and images that are missing, unreadable or
    not of the size that the file gives: their boxes would not fit.

    Args:
        content: parsed JSON with `images`, `annotations` and `categories`.
        find_image: returns a reader of the file with that name, None if there is no such file.
        class_names: the classes of an existing detector; other categories are refused. By
            default the file's categories in the order of their ids.

    Raises:
        CocoFormatError: One of the three lists is missing.
    """
    images, annotations, categories = _lists(content)
    issues: list[AnnotationIssue] = []
    names = _read_categories(categories, issues)
    if class_names is None:
        class_names = [names[category_id] for category_id in sorted(names)]
    label_of = {name: number for number, name in reversed([*enumerate(class_names, 1)])}
    labels = {key: label_of[name] for key, name in names.items() if name in label_of}
    entries, refused_ids = _read_images(images, find_image, issues)
    boxes = _Boxes(entries, refused_ids, names, labels, issues)
    for position, annotation in enumerate(annotations):
        boxes.add(position, annotation)
    return CocoReading(
        tuple(class_names),
        tuple(
            LabelledImage(entry.name, entry.read, boxes.truth(image_id), entry.size_bytes)
            for image_id, entry in entries.items()
        ),
        tuple(issues),
    )


@dataclass(frozen=True, slots=True)
class _ImageEntry:
    name: str
    read: Reader
    width: int
    height: int
    size_bytes: int


class _Boxes:
    """The usable boxes of each image, collected from annotations one at a time."""

    def __init__(
        self,
        entries: Mapping[int, _ImageEntry],
        refused_ids: set[int],
        names: Mapping[int, str],
        labels: Mapping[int, int],
        issues: list[AnnotationIssue],
    ) -> None:
        self._entries, self._refused_ids = entries, refused_ids
        self._names, self._labels, self._issues = names, labels, issues
        self._seen_ids: set[object] = set()
        self._rows: dict[int, list[tuple[list[float], int]]] = {key: [] for key in entries}

    def truth(self, image_id: int) -> GroundTruth:
        rows = self._rows[image_id]
        return GroundTruth(
            torch.tensor([box for box, _ in rows], dtype=torch.float32).reshape(-1, 4),
            torch.tensor([label for _, label in rows], dtype=torch.int64),
        )

    def add(self, position: int, annotation: object) -> None:
        """Keep the annotation's box, or record an issue."""
        if not isinstance(annotation, dict):
            self._issues.append(AnnotationIssue(f"annotation #{position}", "It is not an object."))
            return
        item = f"annotation {annotation.get('id', f'#{position}')}"
        image_id = annotation.get("image_id")
        if isinstance(image_id, int) and image_id in self._refused_ids:
            return  # the image has its own issue already
        reason = self._reason_against(annotation)
        if reason is not None:
            self._issues.append(AnnotationIssue(item, reason))
            return
        entry = self._entries[annotation["image_id"]]
        x, y, width, height = (float(value) for value in annotation["bbox"])
        box = _clip([x, y, x + width, y + height], entry)
        if box[2] <= box[0] or box[3] <= box[1]:
            self._issues.append(
                AnnotationIssue(
                    item, f"Its box lies outside the {entry.width}x{entry.height} image."
                )
            )
            return
        x1, y1, x2, y2 = torch.tensor(box, dtype=torch.float32).tolist()
        if x2 <= x1 or y2 <= y1:
            self._issues.append(
                AnnotationIssue(
                    item, f"Its bbox is too small to keep: {width:g}x{height:g} pixels."
                )
            )
            return
        if max(abs(a - b) for a, b in zip(box, [x, y, x + width, y + height], strict=True)) > (
            CLIP_TOLERANCE
        ):
            self._issues.append(
                AnnotationIssue(item, "Its box was clipped to the image.", is_refused=False)
            )
        rows = self._rows[annotation["image_id"]]
        if len(rows) == MAX_BOXES_PER_IMAGE:
            reason = f"Its image has {MAX_BOXES_PER_IMAGE} boxes already, as many as it may have."
            self._issues.append(AnnotationIssue(item, reason))
            return
        rows.append((box, self._labels[annotation["category_id"]]))

    def _reason_against(self, annotation: Mapping[str, object]) -> str | None:
        annotation_id = annotation.get("id")
        if annotation_id is not None:
            if not isinstance(annotation_id, int | str):
                return "Its id must be a number."
            if annotation_id in self._seen_ids:
                return "Another annotation has this id."
            self._seen_ids.add(annotation_id)
        image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
        if not isinstance(image_id, int) or image_id not in self._entries:
            return f"There is no image {image_id!r}."
        if not isinstance(category_id, int) or category_id not in self._names:
            return f"There is no category {category_id!r}."
        if category_id not in self._labels:
            return f"The detector does not know the class {self._names[category_id]!r}."
        if annotation.get("iscrowd"):
            return "It is a crowd region, which stands for no single object."
        return _reason_against_box(annotation.get("bbox"))


def _reason_against_box(box: object) -> str | None:
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(isinstance(value, int | float) for value in box)
    ):
        return "Its bbox must be four numbers: x, y, width, height."
    if not _are_finite(box):
        return "Its bbox is not finite."
    if box[2] <= 0 or box[3] <= 0:
        return f"Its bbox has no area: width {box[2]:g}, height {box[3]:g}."
    return None


def _are_finite(values: list[int | float]) -> bool:
    try:
        return all(math.isfinite(value) for value in values)
    except OverflowError:  # JSON integers can be larger than any float
        return False


def _clip(box: list[float], entry: _ImageEntry) -> list[float]:
    limits = [entry.width, entry.height] * 2
    return [min(max(value, 0.0), float(limit)) for value, limit in zip(box, limits, strict=True)]


def _lists(content: object) -> tuple[list[object], list[object], list[object]]:
    if not isinstance(content, dict):
        raise CocoFormatError("COCO instances must be a JSON object")
    lists = [content.get(key) for key in ("images", "annotations", "categories")]
    images, annotations, categories = lists
    if not (
        isinstance(images, list) and isinstance(annotations, list) and isinstance(categories, list)
    ):
        raise CocoFormatError("COCO instances need the lists images, annotations and categories")
    return images, annotations, categories


def _read_categories(categories: list[object], issues: list[AnnotationIssue]) -> dict[int, str]:
    names: dict[int, str] = {}
    taken_names: set[str] = set()
    for position, category in enumerate(categories):
        match category:
            case {"id": int(category_id), "name": str(name)} if name:
                if category_id in names or name in taken_names:
                    issues.append(
                        AnnotationIssue(
                            f"category {category_id}", "Another one has this id or name."
                        )
                    )
                else:
                    names[category_id] = name
                    taken_names.add(name)
            case _:
                issues.append(
                    AnnotationIssue(
                        f"category #{position}", "It needs a whole number id and a name."
                    )
                )
    return names


def _read_images(
    images: list[object], find_image: Callable[[str], Reader | None], issues: list[AnnotationIssue]
) -> tuple[dict[int, _ImageEntry], set[int]]:
    """Return usable images by id, and the ids of refused ones."""
    entries: dict[int, _ImageEntry] = {}
    refused: set[int] = set()
    taken_names: set[str] = set()
    for position, image in enumerate(images):
        match image:
            case {"id": int(image_id), "file_name": str(name), **rest}:
                if image_id in entries or image_id in refused:
                    issues.append(
                        AnnotationIssue(f"image {image_id}", "Another image has this id.")
                    )
                    continue
                size = (rest.get("width"), rest.get("height"))
                entry = _open_image(name, size, find_image, taken_names)
                if isinstance(entry, str):
                    issues.append(AnnotationIssue(f"image {image_id}", entry))
                    refused.add(image_id)
                else:
                    entries[image_id] = entry
                    taken_names.add(name)
            case _:
                issues.append(
                    AnnotationIssue(
                        f"image #{position}", "It needs a whole number id and a file_name."
                    )
                )
    return entries, refused


def _open_image(
    name: str,
    stated_size: tuple[object, object],
    find_image: Callable[[str], Reader | None],
    taken_names: set[str],
) -> _ImageEntry | str:
    """Return the image, or the reason why it cannot be used."""
    if name in taken_names:
        return f"Another image has the file name {name}."
    read = find_image(name)
    if read is None:
        return f"There is no file {name}."
    try:
        content = read()
        header = read_header(content)
    except UnreadableImageError as error:
        return f"{name} cannot be read: {error}"
    size = (header.width, header.height)
    if any(stated not in (None, true) for stated, true in zip(stated_size, size, strict=True)):
        return (
            f"{name} is {header.width}x{header.height} pixels when upright, not "
            f"{stated_size[0]}x{stated_size[1]} as its annotations say."
        )
    return _ImageEntry(name, read, header.width, header.height, len(content))
