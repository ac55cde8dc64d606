import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.data.coco import (
    AnnotationIssue,
    CocoFormatError,
    folder_images,
    read_coco,
    read_coco_file,
)
from models.data.datasets import Reader

WIDTH, HEIGHT = 40, 30


def png(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 30)).save(content, "PNG")
    return content.getvalue()


def find(file_name: str) -> Reader | None:
    files = {"a.png": png(), "b.png": png(), "broken.png": b"not an image"}
    return (lambda: files[file_name]) if file_name in files else None


def image(image_id: int = 1, file_name: str = "a.png", **fields: object) -> dict[str, object]:
    return {"id": image_id, "file_name": file_name, "width": WIDTH, "height": HEIGHT, **fields}


def annotation(annotation_id: int = 1, **fields: object) -> dict[str, object]:
    return {
        "id": annotation_id,
        "image_id": 1,
        "category_id": 5,
        "bbox": [10, 5, 20, 10],
        "iscrowd": 0,
        **fields,
    }


def coco(
    images: list[dict[str, object]],
    annotations: list[dict[str, object]],
    categories: list[dict[str, object]] | None = None,
) -> dict[str, object]:
    default: list[dict[str, object]] = [{"id": 5, "name": "raccoon"}, {"id": 2, "name": "cat"}]
    return {
        "images": images,
        "annotations": annotations,
        "categories": default if categories is None else categories,
    }


def test_boxes_become_corners_and_labels_follow_the_order_of_category_ids() -> None:
    reading = read_coco(coco([image()], [annotation()]), find)

    assert reading.class_names == ("cat", "raccoon")
    assert reading.issues == ()
    (labelled,) = reading.images
    assert labelled.name == "a.png"
    assert labelled.read() == png()
    torch.testing.assert_close(labelled.truth.boxes, torch.tensor([[10.0, 5.0, 30.0, 15.0]]))
    assert labelled.truth.labels.tolist() == [2]


def test_an_image_without_boxes_is_a_negative() -> None:
    reading = read_coco(coco([image()], []), find)

    assert reading.images[0].truth.boxes.shape == (0, 4)
    assert reading.issues == ()


def test_a_box_past_the_edge_is_clipped_with_an_issue() -> None:
    reading = read_coco(coco([image()], [annotation(bbox=[30, -4, 20, 10])]), find)

    assert reading.images[0].truth.boxes.tolist() == [[30, 0, 40, 6]]
    assert [(p.item, p.is_refused) for p in reading.issues] == [("annotation 1", False)]


def test_a_box_one_pixel_past_the_edge_is_clipped_without_an_issue() -> None:
    reading = read_coco(coco([image()], [annotation(bbox=[0, 0, 41, 31])]), find)

    assert reading.images[0].truth.boxes.tolist() == [[0, 0, WIDTH, HEIGHT]]
    assert reading.issues == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"bbox": [50, 5, 20, 10]}, "outside the 40x30 image"),
        ({"bbox": [10, 5, 0, 10]}, "no area"),
        ({"bbox": [10, 5, -3, 10]}, "no area"),
        ({"bbox": [10, 5, float("nan"), 10]}, "not finite"),
        ({"bbox": [10**400, 5, 20, 10]}, "not finite"),
        ({"bbox": [10, 5, -(10**400), 10]}, "not finite"),
        ({"bbox": [30, 5, 1e-7, 10]}, "too small"),
        ({"bbox": [10, 25, 5, 1e-7]}, "too small"),
        ({"bbox": [10, 5, 20]}, "four numbers"),
        ({"bbox": ["10", 5, 20, 10]}, "four numbers"),
        ({"bbox": None}, "four numbers"),
        ({"category_id": 9}, "no category 9"),
        ({"category_id": "raccoon"}, "no category 'raccoon'"),
        ({"image_id": 7}, "no image 7"),
        ({"iscrowd": 1}, "crowd"),
    ],
)
def test_a_bad_annotation_is_an_issue_and_the_others_are_kept(
    fields: dict[str, object], reason: str
) -> None:
    reading = read_coco(coco([image()], [annotation(7, **fields), annotation(8)]), find)

    (issue,) = reading.issues
    assert issue.item == "annotation 7"
    assert reason in issue.reason
    assert issue.is_refused
    assert len(reading.images[0].truth) == 1


def test_duplicate_annotation_ids_are_refused() -> None:
    reading = read_coco(coco([image()], [annotation(1), annotation(1)]), find)

    assert reading.issues == (AnnotationIssue("annotation 1", "Another annotation has this id."),)
    assert len(reading.images[0].truth) == 1


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (image(1, "b.png"), "Another image has this id"),
        (image(2, "a.png"), "file name a.png"),
        (image(2, "missing.png"), "no file missing.png"),
        (image(2, "broken.png"), "broken.png cannot be read"),
        (image(2, "b.png", width=HEIGHT, height=WIDTH), "40x30 pixels when upright, not 30x40"),
    ],
)
def test_a_bad_image_is_an_issue_and_the_others_are_kept(
    bad: dict[str, object], reason: str
) -> None:
    reading = read_coco(coco([image(), bad], [annotation()]), find)

    (issue,) = reading.issues
    assert issue.item == f"image {bad['id']}"
    assert reason in issue.reason
    assert [labelled.name for labelled in reading.images] == ["a.png"]


def test_annotations_of_a_refused_image_are_no_further_issues() -> None:
    reading = read_coco(
        coco([image(), image(2, "missing.png")], [annotation(1), annotation(2, image_id=2)]), find
    )

    assert [issue.item for issue in reading.issues] == ["image 2"]


def test_issues_give_the_position_of_items_without_an_id() -> None:
    content = coco([image()], [annotation()])
    content["images"] = [image(), {"id": "one"}]
    content["annotations"] = [annotation(), "box"]
    content["categories"] = [{"id": 5, "name": "raccoon"}, {"id": 6}, {"id": 8, "name": "raccoon"}]

    reading = read_coco(content, find)

    assert [issue.item for issue in reading.issues] == [
        "category #1",
        "category 8",
        "image #1",
        "annotation #1",
    ]
    assert len(reading.images[0].truth) == 1


def test_classes_unknown_to_the_detector_are_refused() -> None:
    reading = read_coco(
        coco([image()], [annotation(1), annotation(2, category_id=2)]), find, ["dog", "raccoon"]
    )

    assert reading.class_names == ("dog", "raccoon")
    assert reading.images[0].truth.labels.tolist() == [2]
    assert [p.reason for p in reading.issues] == ["The detector does not know the class 'cat'."]


@pytest.mark.parametrize("content", [[], {"images": []}, {"images": {}, "annotations": []}, 3])
def test_content_other_than_coco_is_refused(content: object) -> None:
    with pytest.raises(CocoFormatError):
        read_coco(content, find)


def test_a_file_uses_the_images_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(coco([image()], [annotation()])))

    reading = read_coco_file(path)

    assert reading.images[0].read() == png()


def test_a_file_that_is_not_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text("images:")

    with pytest.raises(CocoFormatError, match=r"annotations\.json is not JSON"):
        read_coco_file(path)


def test_file_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png())
    folder = tmp_path / "images"
    folder.mkdir()

    assert folder_images(folder)("../secret.png") is None
    assert folder_images(folder)(str(tmp_path / "secret.png")) is None
