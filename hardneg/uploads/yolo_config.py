"""`data.yaml`, which names the classes and images of a YOLO data set, and `classes.txt`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from hardneg.errors import ClientError
from hardneg.uploads.image_files import find_images, is_image_name

CONFIG_NAMES = ("data.yaml", "data.yml", "dataset.yaml")
CLASS_LISTS = ("classes.txt", "obj.names")
KEYS = {"train": ("train",), "val": ("val", "validation", "valid")}
PARENTS = 3  # labels/train lies two below its data.yaml


@dataclass(frozen=True, slots=True)
class YoloConfig:
    """
    The content of a `data.yaml`.

    Attributes:
        path: the file itself.
        class_names: by the number that label files use.
        entries: everything in the file.
    """

    path: Path
    class_names: Mapping[int, str]
    entries: Mapping[str, object]

    def key_of(self, split: str) -> str:
        """Return the name of a split in this file. Raises ClientError where it has none."""
        for key in KEYS[split]:
            if self.entries.get(key):
                return key
        raise ClientError(f"{self.path}: there is no '{split}', which names the images")


def read_config(path: Path) -> YoloConfig:
    """Read a `data.yaml`. Raises ClientError."""
    try:
        content = yaml.safe_load(_read_text(path))
    except (yaml.YAMLError, RecursionError) as error:
        raise ClientError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ClientError(f"{path}: a YOLO data set needs 'names', and 'train' or 'val'")
    return YoloConfig(path, _class_names(path, content.get("names")), content)


def _class_names(path: Path, names: object) -> dict[int, str]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(type(number) is int for number in names):
        raise ClientError(f"{path}: 'names' must be a list of classes, or numbers with classes")
    for name in names.values():
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise ClientError(f"{path}: {name} in 'names' is not a word: put it into quotes")
    return {number: str(name) for number, name in sorted(names.items())}


def images_of_split(config: YoloConfig, split: str) -> Iterator[Path]:
    """
    Yield the images of a split: those of folders, or those that a text file lists.

    Raises:
        ClientError: What the file names is not here.
    """
    key = config.key_of(split)
    value = config.entries[key]
    for entry in value if isinstance(value, list) else [value]:
        place = _find(config, str(entry))
        if place is None:
            raise ClientError(
                f"{config.path}: '{key}' names {entry}, which is not here: correct it, or give the "
                "folder of the label files instead"
            )
        yield from find_images(place).paths if place.is_dir() else _listed_images(place)


def _find(config: YoloConfig, entry: str) -> Path | None:
    """Return where an entry leads: from `path`, from the file, or from where Roboflow means."""
    beside = config.path.resolve().parent
    root = beside / str(config.entries.get("path") or ".")
    for place in (root / entry, beside / entry, beside / entry.removeprefix("../")):
        if place.exists():
            return place.resolve()
    return None


def _listed_images(path: Path) -> Iterator[Path]:
    """Yield the images that a text file lists, one a line. Raises ClientError."""
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        image = (path.parent / line.strip()).resolve()
        if not line.strip():
            continue
        if not image.is_file() or not is_image_name(image.name):
            raise ClientError(f"{path}:{number}: there is no image {line.strip()}")
        yield image


def find_class_names(labels: Path) -> Mapping[int, str]:
    """
    Return the classes that `data.yaml` or `classes.txt` names, in a folder or just above it.

    Raises:
        ClientError: There is no such file.
    """
    for folder in (labels, *labels.parents[: PARENTS - 1]):
        for name in CONFIG_NAMES:
            if (folder / name).is_file():
                return read_config(folder / name).class_names
        for name in CLASS_LISTS:
            if (folder / name).is_file():
                lines = _read_text(folder / name).splitlines()
                return dict(enumerate(line.strip() for line in lines if line.strip()))
    raise ClientError(
        f"{labels}: no data.yaml or classes.txt there names the classes: write a classes.txt with "
        "one class in each line"
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise ClientError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ClientError(f"{path} is not text in UTF-8") from error
