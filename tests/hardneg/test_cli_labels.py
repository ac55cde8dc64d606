"""`hardneg import --labels` against a real server in a child process."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from hardneg.cli.app import app
from hardneg.demo.server_process import free_port, running_server
from tests.scenes import RED, encoded, scene

pytestmark = pytest.mark.slow

MAX_BODY_BYTES = 400_000  # a scene has about 77 kB: no batch of ten goes in whole


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    settings = {
        "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "DEVICE": "cpu",
        "EMBEDDED_WORKER": "false",
    }
    with running_server(folder / "data", port, folder / "server.log", settings):
        yield f"http://127.0.0.1:{port}"


def labelled_set(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Save images in a folder; return COCO with one red box on each, ids from 100."""
    images, annotations = [], []
    for number, seed in enumerate(seeds, 100):
        pixels, box = scene(seed, RED)
        assert box is not None
        name = f"yard {number % 2}/{seed}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(pixels))
        x1, y1, x2, y2 = box
        bbox = [x1 + 0.25, y1, x2 - x1 - 0.125, y2 - y1]
        images.append({"id": number, "file_name": name, "width": 160, "height": 160})
        annotations.append({"id": number, "image_id": number, "category_id": 9, "bbox": bbox})
    categories = [{"id": 9, "name": "red"}, {"id": 12, "name": "blue"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def import_labels(url: str, folder: Path, coco: object, *words: str) -> Result:
    labels = folder / "labels.json"
    labels.write_text(json.dumps(coco))
    command = ["import", str(folder), "--labels", str(labels), *words, "--url", url]
    return CliRunner().invoke(app, command)


def test_set_larger_than_one_request_is_stored_with_its_boxes(url: str, tmp_path: Path) -> None:
    coco = labelled_set(tmp_path, range(10))

    first = import_labels(url, tmp_path, coco, "--split", "train", "--source", "yards")
    second = import_labels(url, tmp_path, coco, "--split", "train", "--source", "yards")

    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr
    assert first.stdout == (
        "10 images new, 0 known already; 10 boxes of red, blue; 0 items refused\n"
    )
    assert second.stdout.startswith("0 images new, 10 known already; 10 boxes")
    labelled = httpx.get(f"{url}/labelled-images", params={"split": "train"}).json()["items"]
    stored = [item for item in labelled if item["image"]["source"] == "yards"]
    assert [item["image"]["file_name"] for item in stored] == [
        image["file_name"] for image in coco["images"]
    ]
    for item, annotation in zip(stored, coco["annotations"], strict=True):
        x, y, width, height = annotation["bbox"]
        (found,) = item["boxes"]
        assert found["label"] == "red"
        assert found["box"] == {"x1": x, "y1": y, "x2": x + width, "y2": y + height}


def test_wrong_items_are_listed_and_the_rest_is_stored(url: str, tmp_path: Path) -> None:
    coco = labelled_set(tmp_path, range(50, 56))
    coco["images"][0]["file_name"] = "missing.png"
    coco["images"][1]["width"] = 7
    coco["annotations"][2]["bbox"] = [1, 1, 0, 5]
    coco["annotations"][3]["bbox"] = [100, 100, 100, 20]
    coco["annotations"].append({"id": 900, "image_id": 104, "category_id": 77, "bbox": [1] * 4})
    (tmp_path / "copy.png").write_bytes((tmp_path / coco["images"][4]["file_name"]).read_bytes())
    (tmp_path / "large.png").write_bytes(
        (tmp_path / coco["images"][5]["file_name"]).read_bytes() + bytes(MAX_BODY_BYTES)
    )
    coco["images"] += [{"id": 200, "file_name": "copy.png"}, {"id": 201, "file_name": "large.png"}]

    result = import_labels(url, tmp_path, coco, "--split", "val")

    assert result.exit_code == 1
    assert "4 images new, 0 known already; 3 boxes of red, blue; 6 items refused" in result.stdout
    told = result.stderr.splitlines()
    for expected in (
        "annotation 103: Its box was clipped to the image.",
        "image 100: There is no file missing.png.",
        "annotation 102: Its bbox has no area: width 0, height 5.",
        "annotation 900: There is no category 77.",
        "copy.png: the image yard 0/54.png has the same bytes, and its boxes were sent",
        "large.png: the request body is larger than this service takes",
    ):
        assert expected in told
    assert any(line.startswith("image 101: ") and "7x160" in line for line in told)


def test_yolo_data_set_is_stored_with_its_boxes(url: str, tmp_path: Path) -> None:
    for name in ("images/val", "labels/val"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data.yaml").write_text("val: images/val\nnames: [blue, red]\n")
    pixels, box = scene(90, RED)
    assert box is not None
    (tmp_path / "images" / "val" / "90.png").write_bytes(encoded(pixels))
    (tmp_path / "images" / "val" / "91.png").write_bytes(encoded(scene(91, None)[0]))
    x1, y1, x2, y2 = (side / 160 for side in box)
    lines = f"1 {(x1 + x2) / 2} {(y1 + y2) / 2} {x2 - x1} {y2 - y1}\n0 0.5 0.5 0 0.1\n5 1 1 1 1\n"
    label = tmp_path / "labels" / "val" / "90.txt"
    label.write_text(lines)
    (tmp_path / "labels" / "val" / "91.txt").write_text("")
    command = ["import", str(tmp_path), "--labels", str(tmp_path), "--split", "val", "--url", url]

    result = CliRunner().invoke(app, [*command, "--source", "yolo"])

    assert "2 images new, 0 known already; 1 boxes of blue, red; 2 items refused" in result.stdout
    assert f"annotation {label}:2: Its bbox has no area: width 0, height 16." in result.stderr
    assert f"{label}:3: There is no class 5: the classes are 0 blue, 1 red." in result.stderr
    labelled = httpx.get(f"{url}/labelled-images", params={"split": "val"}).json()["items"]
    stored = {
        item["image"]["file_name"]: [(found["label"], found["box"]) for found in item["boxes"]]
        for item in labelled
        if item["image"]["source"] == "yolo"
    }
    sides = dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True))
    assert stored == {
        "images/val/90.png": [("red", pytest.approx(sides, abs=1e-4))],
        "images/val/91.png": [],
    }


def test_images_of_another_split_are_refused(url: str, tmp_path: Path) -> None:
    coco = labelled_set(tmp_path, [80])
    import_labels(url, tmp_path, coco, "--split", "train")

    result = import_labels(url, tmp_path, coco, "--split", "val")

    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("yard 0/80.png: ")]
    assert "train" in line
    assert "val" in line


@pytest.mark.parametrize(
    ("words", "content", "reason"),
    [
        (["--split", "pool"], "{}", "--split train and --split val need --labels"),
        (["--split", "val"], "{}", "COCO instances need the lists images"),
        (["--split", "val"], "[", "is not JSON"),
    ],
)
def test_unusable_labels_are_reported_in_one_sentence(
    url: str, tmp_path: Path, words: list[str], content: str, reason: str
) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(content)

    command = ["import", str(tmp_path), "--labels", str(labels), *words, "--url", url]
    result = CliRunner().invoke(app, command)

    assert result.exit_code == 1
    assert result.stderr.startswith("hardneg: ")
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1
