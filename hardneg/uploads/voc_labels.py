"""
Pascal VOC labels: an XML file for each image, with an `object` for each object.

Coordinates are taken as they are, in pixels from 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from hardneg.errors import ClientError
from hardneg.uploads.annotations import AnnotatedFolder
from hardneg.uploads.image_files import FoundImages, find_images
from hardneg.uploads.labelled_files import LabelledFiles, LabelledObject

SIDES = ("xmin", "ymin", "xmax", "ymax")


class WrongLabelError(ValueError):
    """Something in a label file that cannot be used, with its line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True, slots=True)
class _LabelledFile:
    """The contents of one XML file, before its image is looked up."""

    path: Path
    file_name: str
    size: tuple[int, int] | None
    objects: list[LabelledObject]


def read_voc(labels: Path, folder: Path, split: str) -> AnnotatedFolder:
    """
    Read the XML files of a folder; `ImageSets/Main/<split>.txt` chooses among them, if it exists.

    Raises:
        ClientError: The image set cannot be read.
    """
    chosen = _image_set(labels, split)
    refused: list[tuple[str, str]] = []
    read = [
        labelled
        for path in sorted(labels.rglob("*.xml"))
        if chosen is None or path.stem in chosen
        for labelled in _read_file(path, refused)
    ]
    files = LabelledFiles(sorted({item.class_name for each in read for item in each.objects}))
    for place, reason in refused:
        files.refuse(place, reason)
    found = find_images(folder.resolve())
    find = _image_finder(found)
    for labelled in read:
        image = find(labelled)
        if image is None:
            files.refuse(str(labelled.path), f"There is no image {labelled.file_name}.")
        else:
            files.add(image, found.name(image), labelled.objects, labelled.size)
    return files.folder()


def _image_set(labels: Path, split: str) -> set[str] | None:
    """Return the names without suffix that an image set lists; None where there is none."""
    for root in (labels, labels.parent):
        path = root / "ImageSets" / "Main" / f"{split}.txt"
        try:
            return {
                line.split()[0] for line in path.read_text("utf-8-sig").splitlines() if line.strip()
            }
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ClientError(f"cannot read {path}: {error}") from error
    return None


def _image_finder(found: FoundImages) -> Callable[[_LabelledFile], Path | None]:
    """Return a lookup by the file name, else by that of the XML file, which must be unique."""
    by_name: dict[str, list[Path]] = {}
    for path in found.paths:
        for name in {found.name(path), path.name, path.stem}:
            by_name.setdefault(name, []).append(path)

    def find(labelled: _LabelledFile) -> Path | None:
        for name in (labelled.file_name, labelled.path.stem):
            if len(by_name.get(name, [])) == 1:
                return by_name[name][0]
        return None

    return find


def _read_file(path: Path, refused: list[tuple[str, str]]) -> Iterator[_LabelledFile]:
    """Yield what a file says; add the places and reasons of what cannot be used."""
    try:
        root, lines = _parse(path.read_bytes())
    except OSError as error:
        refused.append((str(path), f"It cannot be read: {error.strerror}."))
        return
    except WrongLabelError as error:
        refused.append((f"{path}:{error.line}", str(error)))
        return
    objects = []
    for number, element in enumerate(root.iter("object"), 1):
        place = f"{path}:{lines[element]}, object {number}"  # a file may be one line
        try:
            objects.append(_object(place, element, lines))
        except WrongLabelError as error:
            refused.append((f"{path}:{error.line}", str(error)))
    yield _LabelledFile(path, _text(root, "filename") or path.stem, _size(root), objects)


def _parse(content: bytes) -> tuple[Element, dict[Element, int]]:
    """Return the root of an XML document, and the line of every element."""
    builder = TreeBuilder()
    lines: dict[Element, int] = {}
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        lines[builder.start(tag, attributes)] = parser.CurrentLineNumber

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise WrongLabelError(parser.CurrentLineNumber, f"It is not XML: {error}.") from error
    root = builder.close()
    if root.tag != "annotation":
        raise WrongLabelError(1, f"It holds <{root.tag}>, not <annotation>.")
    return root, lines


def _object(place: str, element: Element, lines: dict[Element, int]) -> LabelledObject:
    name, box = _text(element, "name"), element.find("bndbox")
    if not name:
        raise WrongLabelError(lines[element], "The object has no name.")
    if box is None:
        raise WrongLabelError(lines[element], "The object has no bndbox.")
    x1, y1, x2, y2 = (_side(box, side, lines) for side in SIDES)
    return LabelledObject(place, name, x1, y1, x2 - x1, y2 - y1)


def _side(box: Element, side: str, lines: dict[Element, int]) -> float:
    text = _text(box, side)
    try:
        return float(text)
    except ValueError:
        line = lines[next(iter(box.iterfind(side)), box)]
        raise WrongLabelError(line, f"{side} must be a number, not '{text}'.") from None


def _size(root: Element) -> tuple[int, int] | None:
    """Return width and height, for the service to check; None where they are not given."""
    width, height = (_text(root, f"size/{side}") for side in ("width", "height"))
    if width.isdecimal() and height.isdecimal() and int(width) and int(height):
        return int(width), int(height)
    return None


def _text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()
