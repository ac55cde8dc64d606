"""
YOLO labels: a text file for each image, with a line for each object.

A line is `class x y width height`; x and y are the middle of the box, and all four are parts of the
image's width or height. An empty file says that the image shows no object; an image without a file
is not labelled, and is refused.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

from hardneg.errors import ClientError
from hardneg.uploads.annotations import AnnotatedFolder
from hardneg.uploads.image_files import FoundImages, find_images
from hardneg.uploads.image_sizes import UnreadableSizeError, upright_size
from hardneg.uploads.labelled_files import LabelledFiles, LabelledObject
from hardneg.uploads.yolo_config import (
    CLASS_LISTS,
    find_class_names,
    images_of_split,
    read_config,
)

BOX_VALUES = 5
TOLERANCE = 1e-3  # of the image's sides; rounded labels reach a little beyond it


def read_yolo(config_path: Path, folder: Path, split: str) -> AnnotatedFolder:
    """
    Read the images of a split that `data.yaml` names and that lie in `folder`.

    Raises:
        ClientError: The file cannot be used, or none of the images lie in `folder`.
    """
    config = read_config(config_path)
    root = folder.resolve()
    paths = [path for path in images_of_split(config, split) if path.is_relative_to(root)]
    if not paths:
        raise ClientError(
            f"{config_path}: no image of '{config.key_of(split)}' lies in {folder}: give the "
            "folder that holds them"
        )
    labels = {path: _label_beside(path) for path in paths}
    return _read_images(FoundImages(root, paths), config.class_names, labels).folder()


def read_yolo_folder(labels: Path, folder: Path) -> AnnotatedFolder:
    """
    Read the label files of a folder; `data.yaml` or `classes.txt` near it names the classes.

    Raises:
        ClientError: No file names the classes.
    """
    root = labels.resolve()
    found = find_images(folder.resolve())

    def label_of(path: Path) -> Path:
        own = (root / found.name(path)).with_suffix(".txt")
        return own if own.is_file() else _label_beside(path)

    label_files = {path: label_of(path) for path in found.paths}
    files = _read_images(found, find_class_names(root), label_files)
    for label in _without_image(set(label_files.values())):
        files.refuse(str(label), "There is no image for it.")
    return files.folder()


def _label_beside(image: Path) -> Path:
    """Return the label file of an image: in `labels` in the place of `images`, else beside it."""
    parts = list(image.parent.parts)
    for position in range(len(parts) - 1, -1, -1):
        if parts[position] == "images":
            parts[position] = "labels"
            return Path(*parts, f"{image.stem}.txt")
    return image.with_suffix(".txt")


def _read_images(
    found: FoundImages, class_names: Mapping[int, str], labels: Mapping[Path, Path]
) -> LabelledFiles:
    """Read the label file of each image; `labels` has it by the image."""
    files = LabelledFiles(list(dict.fromkeys(class_names.values())))
    for path, label in labels.items():
        try:
            text = label.read_text("utf-8-sig")  # Windows tools begin with a mark
            size = upright_size(path)
        except FileNotFoundError:
            files.refuse(
                found.name(path), "It has no label file; an empty one would say: no object."
            )
        except (OSError, UnicodeDecodeError) as error:
            files.refuse(str(label), f"It cannot be read: {error}.")
        except UnreadableSizeError as error:
            files.refuse(found.name(path), f"It cannot be read: {error}.")
        else:
            objects = _objects(label, text, class_names, size, files)
            files.add(path, found.name(path), list(objects), size)
    return files


def _without_image(labels: Set[Path]) -> list[Path]:
    """Return the text files beside label files that are no image's."""
    folders = {label.parent for label in labels}
    beside = {path for folder in folders for path in folder.glob("*.txt")}
    return sorted(path for path in beside - labels if path.name not in CLASS_LISTS)


def _objects(
    label: Path,
    text: str,
    class_names: Mapping[int, str],
    size: tuple[int, int],
    files: LabelledFiles,
) -> Iterator[LabelledObject]:
    """Yield the objects of a label file; refuse the lines that are none."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{label}:{number}"
        try:
            yield _object(place, line.split(), class_names, size)
        except ValueError as error:
            files.refuse(place, str(error))


def _object(
    place: str, words: Sequence[str], class_names: Mapping[int, str], size: tuple[int, int]
) -> LabelledObject:
    """Return the object of a line. Raises ValueError with the reason against it."""
    if len(words) != BOX_VALUES:
        raise ValueError(
            f"A line has 5 values, class x y width height, and this one has {len(words)}."
        )
    if not words[0].isdecimal() or int(words[0]) not in class_names:
        raise ValueError(f"There is no class {words[0]}: the classes are {_listed(class_names)}.")
    try:
        x, y, width, height = values = [float(word) for word in words[1:]]
    except ValueError:
        raise ValueError(f"Not all of {' '.join(words[1:])} are numbers.") from None
    if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in values):
        raise ValueError(f"{' '.join(words[1:])} are not all parts of the image, from 0 to 1.")
    image_width, image_height = size
    return LabelledObject(
        place,
        class_names[int(words[0])],
        (x - width / 2) * image_width,
        (y - height / 2) * image_height,
        width * image_width,
        height * image_height,
    )


def _listed(class_names: Mapping[int, str]) -> str:
    return ", ".join(f"{number} {name}" for number, name in class_names.items()) or "none"
