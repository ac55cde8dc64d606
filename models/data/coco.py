"""COCO JSON in, labelled images out, and what is wrong with it item by item."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from models.data.datasets import LabelledImage, Reader
from models.data.ground_truth import GroundTruth
from models.data.images import UnreadableImageError, read_header

CLIP_TOLERANCE = 1.0  # pixels; annotation tools often round a box one pixel past the edge


class CocoFormatError(ValueError):
    """The file as a whole is not COCO instances; nothing of it can be used."""


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing that is wrong with a labelled data set.

    Attributes:
        item: what it is about, such as `image 7` or `annotation 12`.
        reason: a sentence that its author can act on.
        is_refused: whether the item was left out; if not, it was mended as the reason says.
    """

    item: str
    reason: str
    is_refused: bool = True


@dataclass(frozen=True, slots=True)
class CocoReading:
    """
    What could be read from COCO JSON, and what could not.

    Attributes:
        class_names: in label order; label k is `class_names[k - 1]`.
        images: those that can be used, in the file's order.
        problems: in the file's order, categories first, then images, then annotations.
    """

    class_names: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    problems: tuple[Problem, ...]


def folder_images(folder: Path) -> Callable[[str], Reader | None]:
    """Look file names up in a folder; None for one that is missing or points outside of it."""
    root = folder.resolve()

    def find(file_name: str) -> Reader | None:
        path = (root / file_name).resolve()
        return path.read_bytes if path.is_relative_to(root) and path.is_file() else None

    return find


def read_coco_file(path: Path, class_names: Sequence[str] | None = None) -> CocoReading:
    """
    Read an annotation file whose images lie beside it.

    Raises:
        CocoFormatError: It is not JSON, or not COCO instances.
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
    Read COCO instances; whatever is wrong is named item by item, and the rest goes in.

    Boxes that reach past the image are clipped to it (silently up to one pixel). Left out are:
    boxes outside the image, without area or not finite; crowd regions; unknown classes and images;
    doubled ids and file names; images that are missing, unreadable or of another size than the
    file says, for their boxes would not fit.

    Args:
        content: parsed JSON with `images`, `annotations` and `categories`.
        find_image: from a file name to its bytes, None if there is no such file.
        class_names: the classes of an existing detector; other categories are refused. By
            default the file's categories in the order of their ids.

    Raises:
        CocoFormatError: One of the three lists is missing.
    """
    images, annotations, categories = _lists(content)
    problems: list[Problem] = []
    names = _read_categories(categories, problems)
    if class_names is None:
        class_names = [names[category_id] for category_id in sorted(names)]
    labels = {
        category_id: class_names.index(name) + 1
        for category_id, name in names.items()
        if name in class_names
    }
    entries, refused_ids = _read_images(images, find_image, problems)
    boxes = _Boxes(entries, refused_ids, names, labels, problems)
    for position, annotation in enumerate(annotations):
        boxes.add(position, annotation)
    return CocoReading(
        tuple(class_names),
        tuple(
            LabelledImage(entry.name, entry.read, boxes.truth(image_id))
            for image_id, entry in entries.items()
        ),
        tuple(problems),
    )


@dataclass(frozen=True, slots=True)
class _ImageEntry:
    name: str
    read: Reader
    width: int
    height: int


class _Boxes:
    """The good boxes of each image, gathered from annotations one at a time."""

    def __init__(
        self,
        entries: Mapping[int, _ImageEntry],
        refused_ids: set[int],
        names: Mapping[int, str],
        labels: Mapping[int, int],
        problems: list[Problem],
    ) -> None:
        self._entries, self._refused_ids = entries, refused_ids
        self._names, self._labels, self._problems = names, labels, problems
        self._seen_ids: set[object] = set()
        self._rows: dict[int, list[tuple[list[float], int]]] = {key: [] for key in entries}

    def truth(self, image_id: int) -> GroundTruth:
        rows = self._rows[image_id]
        return GroundTruth(
            torch.tensor([box for box, _ in rows], dtype=torch.float32).reshape(-1, 4),
            torch.tensor([label for _, label in rows], dtype=torch.int64),
        )

    def add(self, position: int, annotation: object) -> None:
        """Take the annotation, or say what is wrong with it."""
        if not isinstance(annotation, dict):
            self._problems.append(Problem(f"annotation #{position}", "It is not an object."))
            return
        item = f"annotation {annotation.get('id', f'#{position}')}"
        image_id = annotation.get("image_id")
        if isinstance(image_id, int) and image_id in self._refused_ids:
            return  # named already, with its image
        reason = self._reason_against(annotation)
        if reason is not None:
            self._problems.append(Problem(item, reason))
            return
        entry = self._entries[annotation["image_id"]]
        x, y, width, height = (float(value) for value in annotation["bbox"])
        box = _clip([x, y, x + width, y + height], entry)
        if box[2] <= box[0] or box[3] <= box[1]:
            self._problems.append(
                Problem(item, f"Its box lies outside the {entry.width}x{entry.height} image.")
            )
            return
        x1, y1, x2, y2 = torch.tensor(box, dtype=torch.float32).tolist()
        if x2 <= x1 or y2 <= y1:
            self._problems.append(
                Problem(item, f"Its bbox is too small to keep: {width:g}x{height:g} pixels.")
            )
            return
        if max(abs(a - b) for a, b in zip(box, [x, y, x + width, y + height], strict=True)) > (
            CLIP_TOLERANCE
        ):
            self._problems.append(
                Problem(item, "Its box was clipped to the image.", is_refused=False)
            )
        self._rows[annotation["image_id"]].append((box, self._labels[annotation["category_id"]]))

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
    except OverflowError:  # JSON's whole numbers have no largest one
        return False


def _clip(box: list[float], entry: _ImageEntry) -> list[float]:
    limits = [entry.width, entry.height] * 2
    return [min(max(value, 0.0), float(limit)) for value, limit in zip(box, limits, strict=True)]


def _lists(content: object) -> tuple[list[object], list[object], list[object]]:
    if not isinstance(content, dict):
        raise CocoFormatError("COCO instances are a JSON object, this is something else")
    lists = [content.get(key) for key in ("images", "annotations", "categories")]
    images, annotations, categories = lists
    if not (
        isinstance(images, list) and isinstance(annotations, list) and isinstance(categories, list)
    ):
        raise CocoFormatError("COCO instances need the lists images, annotations and categories")
    return images, annotations, categories


def _read_categories(categories: list[object], problems: list[Problem]) -> dict[int, str]:
    names: dict[int, str] = {}
    for position, category in enumerate(categories):
        match category:
            case {"id": int(category_id), "name": str(name)} if name:
                if category_id in names or name in names.values():
                    problems.append(
                        Problem(f"category {category_id}", "Another one has this id or name.")
                    )
                else:
                    names[category_id] = name
            case _:
                problems.append(
                    Problem(f"category #{position}", "It needs a whole number id and a name.")
                )
    return names


def _read_images(
    images: list[object], find_image: Callable[[str], Reader | None], problems: list[Problem]
) -> tuple[dict[int, _ImageEntry], set[int]]:
    """Usable images by id, and the ids of those that were refused."""
    entries: dict[int, _ImageEntry] = {}
    refused: set[int] = set()
    taken_names: set[str] = set()
    for position, image in enumerate(images):
        match image:
            case {"id": int(image_id), "file_name": str(name), **rest}:
                if image_id in entries or image_id in refused:
                    problems.append(Problem(f"image {image_id}", "Another image has this id."))
                    continue
                size = (rest.get("width"), rest.get("height"))
                entry = _open_image(name, size, find_image, taken_names)
                if isinstance(entry, str):
                    problems.append(Problem(f"image {image_id}", entry))
                    refused.add(image_id)
                else:
                    entries[image_id] = entry
                    taken_names.add(name)
            case _:
                problems.append(
                    Problem(f"image #{position}", "It needs a whole number id and a file_name.")
                )
    return entries, refused


def _open_image(
    name: str,
    stated_size: tuple[object, object],
    find_image: Callable[[str], Reader | None],
    taken_names: set[str],
) -> _ImageEntry | str:
    """The image, or the reason why it cannot be used."""
    if name in taken_names:
        return f"Another image has the file name {name}."
    read = find_image(name)
    if read is None:
        return f"There is no file {name}."
    try:
        header = read_header(read())
    except UnreadableImageError as error:
        return f"{name} cannot be read: {error}"
    size = (header.width, header.height)
    if any(stated not in (None, true) for stated, true in zip(stated_size, size, strict=True)):
        return (
            f"{name} is {header.width}x{header.height} pixels when upright, not "
            f"{stated_size[0]}x{stated_size[1]} as its annotations say."
        )
    return _ImageEntry(name, read, header.width, header.height)
