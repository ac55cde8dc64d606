import json
from pathlib import Path
from typing import Any

import pytest

from hardneg.errors import ClientError
from hardneg.uploads.annotations import AnnotatedFolder, read_coco

NAMES = ("a.png", "b.png")


def split(folder: Path, coco: object) -> AnnotatedFolder:
    for name in NAMES:
        (folder / name).write_bytes(b"an image")
    (folder / "labels.json").write_text(json.dumps(coco))
    return read_coco(folder / "labels.json", folder)


def coco(**changes: list[object]) -> dict[str, Any]:
    images: list[object] = [{"id": 10 + n, "file_name": name} for n, name in enumerate(NAMES)]
    annotations: list[object] = [
        {"id": 1, "image_id": 11, "category_id": 5, "bbox": [0, 0, 4, 4]},
        {"id": 2, "image_id": 10, "category_id": 5, "bbox": [1, 1, 4, 4]},
    ]
    categories: list[object] = [{"id": 5, "name": "fox"}]
    return {"images": images, "annotations": annotations, "categories": categories} | changes


def test_part_has_the_annotations_of_its_images_and_all_categories(tmp_path: Path) -> None:
    content = coco()
    labelled = split(tmp_path, content)

    part = json.loads(labelled.part(labelled.images[1:]))

    assert labelled.refused == ()
    assert [image.path for image in labelled.images] == [tmp_path / name for name in NAMES]
    assert part == {
        "images": content["images"][1:],
        "annotations": content["annotations"][:1],
        "categories": content["categories"],
    }


def test_part_leaves_out_what_the_service_does_not_read(tmp_path: Path) -> None:
    content = coco()
    content["annotations"][0]["segmentation"] = [[0.0] * 1000]
    content["images"][1]["licence"] = "CC0"

    labelled = split(tmp_path, content)

    assert b"segmentation" not in labelled.part(labelled.images)
    assert b"licence" not in labelled.part(labelled.images)


def test_annotation_without_an_id_is_named_by_its_place_in_the_file(tmp_path: Path) -> None:
    content = coco()
    del content["annotations"][1]["id"]

    labelled = split(tmp_path, content)

    assert [entry["id"] for entry in labelled.images[0].annotations] == ["#1"]


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        (
            {"images": [{"file_name": "a.png"}]},
            "image #0: It needs a whole number id and a file_name.",
        ),
        (
            {"images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}]},
            "image 1: Another image has this id.",
        ),
        (
            {"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}]},
            "image 2: Another image has the file name a.png.",
        ),
        ({"images": [{"id": 1, "file_name": "c.png"}]}, "image 1: There is no file c.png."),
        ({"images": [{"id": 1, "file_name": "../x"}]}, "image 1: There is no file ../x."),
        ({"images": [{"id": 1, "file_name": "\0"}]}, "image 1: There is no file \0."),
        ({"images": [{"id": 1, "file_name": "\ud800"}]}, "image 1: There is no file \\ud800."),
        ({"annotations": ["a box"]}, "annotation #0: It is not an object."),
        ({"annotations": [{"id": 3, "image_id": 99}]}, "annotation 3: There is no image 99."),
        ({"annotations": [{"image_id": "x"}]}, "annotation #0: There is no image 'x'."),
        (
            {"annotations": [{"id": 3, "image_id": 10}, {"id": 3, "image_id": 11}]},
            "annotation 3: Another annotation has this id.",
        ),
    ],
)
def test_entry_that_cannot_be_sent_is_refused_with_its_reason(
    tmp_path: Path, changes: dict[str, list[object]], refused: str
) -> None:
    labelled = split(tmp_path, coco(**({"annotations": []} | changes)))

    assert labelled.refused == (refused,)


def test_boxes_of_a_missing_image_are_not_named_again(tmp_path: Path) -> None:
    content = coco()
    content["images"][0]["file_name"] = "missing.png"

    labelled = split(tmp_path, content)

    assert labelled.refused == ("image 10: There is no file missing.png.",)


@pytest.mark.parametrize("content", [[], {}, {"images": []}, {**coco(), "categories": {}}])
def test_json_without_the_three_lists_is_a_client_error(tmp_path: Path, content: object) -> None:
    with pytest.raises(ClientError, match="COCO instances need the lists"):
        split(tmp_path, content)
