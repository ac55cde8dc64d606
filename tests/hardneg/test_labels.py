"""Labels in the formats of other tools, as `hardneg import --labels` reads them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hardneg.errors import ClientError
from hardneg.uploads.annotations import AnnotatedFolder
from hardneg.uploads.labels import read_labels

WIDTH, HEIGHT = 40, 20
LYING = 6  # EXIF: the picture lies on its side

VOC_OBJECT = """
  <object><name>fox</name>
    <bndbox><xmin>10</xmin><ymin>5.5</ymin><xmax>30</xmax><ymax>15.5</ymax></bndbox>
  </object>"""


def write(folder: Path, files: Mapping[str, str | int | None]) -> Path:
    """Write text files; a number writes an image with this EXIF orientation, None without."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
            continue
        exif = Image.Exif()
        if content is not None:
            exif[0x0112] = content
        Image.new("RGB", (WIDTH, HEIGHT)).save(path, exif=exif)
    return folder


def voc(*objects: str, name: str = "a.jpg", size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    return (
        f"<annotation>\n  <filename>{name}</filename>\n  <size><width>{size[0]}</width>"
        f"<height>{size[1]}</height></size>{''.join(objects)}\n</annotation>\n"
    )


def boxes_of(labelled: AnnotatedFolder) -> dict[str, list[tuple[str, list[float]]]]:
    part: dict[str, Any] = json.loads(labelled.part(labelled.images))
    names = {entry["id"]: entry["name"] for entry in part["categories"]}
    found: dict[int, list[tuple[str, list[float]]]] = {}
    for entry in part["annotations"]:
        box = [round(side, 6) for side in entry["bbox"]]
        found.setdefault(entry["image_id"], []).append((names[entry["category_id"]], box))
    return {image["file_name"]: found.get(image["id"], []) for image in part["images"]}


YOLO = {
    "data.yaml": "train: images/train\nval: images/val\nnames: [fox, 'no']\n",
    "images/train/a.jpg": None,
    "images/train/b.jpg": None,
    "images/val/c.jpg": None,
    "labels/train/a.txt": "0 0.5 0.525 0.5 0.5\n\n1 0.25 0.5 0.5 1\n",
    "labels/train/b.txt": "",
    "labels/val/c.txt": "1 0.5 0.5 1 1\n",
}
YOLO_BOXES = {
    "images/train/a.jpg": [("fox", [10.0, 5.5, 20.0, 10.0]), ("no", [0.0, 0.0, 20.0, 20.0])],
    "images/train/b.jpg": [],
}


@pytest.mark.parametrize("labels", ["data.yaml", "."])
def test_yolo_data_set_gives_the_images_of_the_split(tmp_path: Path, labels: str) -> None:
    folder = write(tmp_path, YOLO)

    train = read_labels(folder / labels, folder, "train")
    val = read_labels(folder / labels, folder, "val")

    assert boxes_of(train) == YOLO_BOXES
    assert boxes_of(val) == {"images/val/c.jpg": [("no", [0.0, 0.0, 40.0, 20.0])]}
    assert train.refused == val.refused == ()


@pytest.mark.parametrize(
    "config",
    [
        "path: .\ntrain: images/train\nnames: {0: fox, 1: 'no'}\n",
        "path: /nowhere\ntrain: [images/train]\nnames: [fox, 'no']\n",
        "train: ../images/train\nnc: 2\nnames: [fox, 'no']\n",
        "train: list.txt\nnames: [fox, 'no']\n",
    ],
    ids=["ultralytics", "moved", "roboflow", "list"],
)
def test_data_yaml_of_any_tool_leads_to_the_images(tmp_path: Path, config: str) -> None:
    write(tmp_path, YOLO | {"data.yaml": config, "list.txt": "./images/train/a.jpg\n"})

    found = boxes_of(read_labels(tmp_path / "data.yaml", tmp_path, "train"))

    assert found == {name: YOLO_BOXES[name] for name in found}
    assert "images/train/a.jpg" in found


@pytest.mark.parametrize(
    ("labels", "images"), [("labels/train", "images/train"), ("labels/train", "."), ("all", "all")]
)
def test_folder_of_text_files_has_its_classes_near_it(
    tmp_path: Path, labels: str, images: str
) -> None:
    files = {name: text for name, text in YOLO.items() if name != "data.yaml" and "val" not in name}
    beside = {"all/a.jpg": None, "all/a.txt": YOLO["labels/train/a.txt"], "all/classes.txt": ""}
    write(tmp_path, files | {"classes.txt": "fox\nno\n"})
    if labels == "all":
        write(tmp_path, beside | {"all/classes.txt": "fox\nno\n"})

    labelled = read_labels(tmp_path / labels, tmp_path / images, "train")

    a = next(boxes for name, boxes in boxes_of(labelled).items() if name.endswith("a.jpg"))
    assert a == YOLO_BOXES["images/train/a.jpg"]
    assert labelled.refused == ()


def test_mark_at_the_beginning_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    mark = "\ufeff"
    write(
        tmp_path,
        {"classes.txt": f"{mark}fox\n", "a.jpg": None, "a.txt": f"{mark}0 0.5 0.5 0.5 0.5\n"},
    )

    labelled = read_labels(tmp_path, tmp_path, "train")

    assert boxes_of(labelled) == {"a.jpg": [("fox", [10.0, 5.0, 20.0, 10.0])]}
    assert labelled.refused == ()


def test_yolo_counts_in_the_upright_image(tmp_path: Path) -> None:
    write(tmp_path, YOLO | {"images/train/a.jpg": LYING})

    labelled = read_labels(tmp_path, tmp_path, "train")

    ((_, box), _) = boxes_of(labelled)["images/train/a.jpg"]
    assert box == [5.0, 11.0, 10.0, 20.0]
    assert labelled.images[0].image["width"] == HEIGHT


def test_what_is_wrong_in_yolo_labels_is_named_with_file_and_line(tmp_path: Path) -> None:
    lines = [
        "0 0.5 0.5 0.2 0.2",
        "7 0.5 0.5 0.2 0.2",
        "0 0.5 0.5",
        "0 320 240 64 64",
        "0 a b c d",
        "0 nan 0 0 0",
    ]
    write(
        tmp_path,
        {
            "classes.txt": "fox\n",
            "a.jpg": None,
            "a.txt": "\n".join(lines),
            "b.jpg": None,
            "c.jpg": "not an image",
            "c.txt": "",
            "d.txt": "0 0.5 0.5 0.2 0.2\n",
        },
    )

    labelled = read_labels(tmp_path, tmp_path, "train")

    assert list(boxes_of(labelled)) == ["a.jpg"]
    assert len(labelled.images[0].annotations) == 1
    assert labelled.images[0].annotations[0]["id"] == f"{tmp_path}/a.txt:1"
    assert list(labelled.refused) == [
        f"{tmp_path}/a.txt:2: There is no class 7: the classes are 0 fox.",
        f"{tmp_path}/a.txt:3: A line has 5 values, class x y width height, and this one has 3.",
        f"{tmp_path}/a.txt:4: 320 240 64 64 are not all parts of the image, from 0 to 1.",
        f"{tmp_path}/a.txt:5: Not all of a b c d are numbers.",
        f"{tmp_path}/a.txt:6: nan 0 0 0 are not all parts of the image, from 0 to 1.",
        "b.jpg: It has no label file; an empty one would say: no object.",
        "c.jpg: It cannot be read: it is not a readable image.",
        f"{tmp_path}/d.txt: There is no image for it.",
    ]


@pytest.mark.parametrize(
    ("files", "labels", "reason"),
    [
        ({"data.yaml": "names: [a"}, "data.yaml", "data.yaml is not YAML: .* line 1"),
        ({"data.yaml": "[]"}, "data.yaml", "needs 'names'"),
        ({"data.yaml": "train: x\nnames: 3"}, "data.yaml", "'names' must be a list"),
        ({"data.yaml": "train: x\nnames: [no]"}, "data.yaml", "False in 'names'"),
        ({"data.yaml": "names: [a]"}, "data.yaml", "there is no 'train'"),
        ({"data.yaml": "train: x\nnames: [a]"}, "data.yaml", "'train' names x, which is not here"),
        ({"data.yaml": "train: l.txt\nnames: [a]", "l.txt": "\nb.jpg"}, ".", r"l.txt:2: .*b.jpg"),
        ({"data.yaml": "train: ..\nnames: [a]", "x": ""}, "data.yaml", "no image of 'train' lies"),
        ({"labels/a.txt": ""}, "labels", "names the classes"),
        ({"a.txt": ""}, "a.txt", "give the folder"),
        ({"notes.md": ""}, ".", "holds no labels: --labels takes COCO JSON"),
        ({"labels.json": "["}, ".", "labels.json is not JSON"),
    ],
)
def test_unusable_labels_are_refused_with_a_reason(
    tmp_path: Path, files: dict[str, str], labels: str, reason: str
) -> None:
    folder = write(tmp_path / "set", files)

    with pytest.raises(ClientError, match=reason):
        read_labels(folder / labels, folder, "train")


def test_voc_folder_is_read_with_its_image_set(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "JPEGImages/a.jpg": None,
            "JPEGImages/b.jpg": None,
            "JPEGImages/c.jpg": None,
            "Annotations/a.xml": voc(VOC_OBJECT),
            "Annotations/b.xml": voc(name="b.jpg"),
            "Annotations/c.xml": voc(VOC_OBJECT, name="c.jpg"),
            "ImageSets/Main/train.txt": "a\nb -1\n",
        },
    )

    everything = read_labels(tmp_path / "Annotations", tmp_path / "JPEGImages", "val")
    train = read_labels(tmp_path, tmp_path, "train")

    assert boxes_of(train) == {
        "JPEGImages/a.jpg": [("fox", [10.0, 5.5, 20.0, 10.0])],
        "JPEGImages/b.jpg": [],
    }
    assert list(boxes_of(everything)) == ["a.jpg", "b.jpg", "c.jpg"]
    assert everything.refused == train.refused == ()
    assert train.images[0].image["width"] == WIDTH


def test_what_is_wrong_in_voc_labels_is_named_with_file_and_line(tmp_path: Path) -> None:
    nameless = VOC_OBJECT.replace("<name>fox</name>", "")
    wordy = VOC_OBJECT.replace("5.5", "five")
    write(
        tmp_path,
        {
            "a.jpg": None,
            "a.xml": voc(VOC_OBJECT, nameless, "\n  <object><name>x</name></object>", wordy),
            "b.xml": "<annotation>\n  <filename>b</annotation>",
            "c.xml": voc(VOC_OBJECT, name="missing.jpg"),
            "d.xml": "<html/>",
        },
    )

    labelled = read_labels(tmp_path, tmp_path, "train")

    assert boxes_of(labelled) == {"a.jpg": [("fox", [10.0, 5.5, 20.0, 10.0])]}
    assert list(labelled.refused) == [
        f"{tmp_path}/a.xml:7: The object has no name.",
        f"{tmp_path}/a.xml:10: The object has no bndbox.",
        f"{tmp_path}/a.xml:12: ymin must be a number, not 'five'.",
        f"{tmp_path}/b.xml:2: It is not XML: mismatched tag: line 2, column 15.",
        f"{tmp_path}/d.xml:1: It holds <html>, not <annotation>.",
        f"{tmp_path}/c.xml: There is no image missing.jpg.",
    ]
