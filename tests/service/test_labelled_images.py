import io
import json
import zipfile
from collections.abc import Sequence

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from models.data.images import UnreadableImageError
from service.images.storing import Destination
from service.imports.entries import Limits
from service.labelled_images.sources import LabelledZip, UnreadableArchive
from tests.service.pictures import picture

Box = tuple[float, float, float, float]


def coco(names: Sequence[str], boxes: Sequence[tuple[int, Box]] = ()) -> bytes:
    """Annotate images numbered from 0 with boxes (x, y, width, height) of class `red`."""
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [
            {"id": number, "image_id": image_id, "category_id": 7, "bbox": box}
            for number, (image_id, box) in enumerate(boxes)
        ],
        "categories": [{"id": 7, "name": "red"}],
    }
    return json.dumps(content).encode()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return buffer.getvalue()


def upload(
    client: TestClient,
    annotations: bytes | None,
    images: dict[str, bytes],
    split: str = "train",
) -> Response:
    files = [("files", (name, content)) for name, content in images.items()]
    if annotations is not None:
        files.append(("annotations", ("coco.json", annotations)))
    return client.post("/labelled-images", files=files, data={"split": split})


def upload_zip(client: TestClient, archive: bytes, split: str = "train") -> Response:
    return client.post(
        "/labelled-images", files={"archive": ("set.zip", archive)}, data={"split": split}
    )


def test_images_are_stored_with_their_boxes(client: TestClient) -> None:
    annotations = coco(["a.png", "b.png"], [(0, (10, 20, 30, 40)), (0, (0, 0, 5, 5))])

    response = upload(client, annotations, {"a.png": picture(1), "b.png": picture(2)})

    assert response.status_code == 207
    result = response.json()
    assert result["class_names"] == ["red"]
    assert [(item["status"], item["num_boxes"]) for item in result["items"]] == [(201, 2), (201, 0)]
    page = client.get("/labelled-images", params={"split": "train"}).json()
    assert [len(item["boxes"]) for item in page["items"]] == [2, 0]
    assert page["items"][0]["boxes"][0] == {
        "label": "red",
        "box": {"x1": 10, "y1": 20, "x2": 40, "y2": 60},
    }


def test_zip_holds_images_and_annotations(client: TestClient) -> None:
    archive = zipped(
        annotations_json=coco(["a.png"], [(0, (1, 2, 3, 4))]), images__a_png=picture(1)
    )

    response = upload_zip(client, archive, split="val")

    assert [item["num_boxes"] for item in response.json()["items"]] == [1]
    assert len(client.get("/labelled-images", params={"split": "val"}).json()["items"]) == 1


def test_errors_are_listed_and_the_rest_is_stored(client: TestClient) -> None:
    annotations = coco(
        ["good.png", "missing.png", "bad.png"],
        [(0, (1, 1, 10, 10)), (0, (900, 900, 5, 5)), (0, (1, 1, 0, 5))],
    )

    response = upload(client, annotations, {"good.png": picture(1), "bad.png": b"no image"})

    result = response.json()
    assert [item["file_name"] for item in result["items"]] == ["good.png"]
    assert result["items"][0]["num_boxes"] == 1
    named = {problem["item"] for problem in result["problems"]}
    assert named == {"image 1", "image 2", "annotation 1", "annotation 2"}


def test_annotations_that_cannot_be_stored_or_shown_are_listed(client: TestClient) -> None:
    content = json.loads(coco(["a.png", "\ud800.png"]))
    boxes: list[list[float]] = [[1, 1, 9, 9], [70, 10, 1e-6, 5], [10**400, 1, 1, 1], [0, 0, 0, 1]]
    content["annotations"] = [
        {"id": annotation_id, "image_id": 0, "category_id": 7, "bbox": box}
        for annotation_id, box in zip(["good", "thin", "far", "\ud800"], boxes, strict=True)
    ]

    response = upload(client, json.dumps(content).encode(), {"a.png": picture(1)})

    assert response.status_code == 207
    assert response.json()["items"][0]["num_boxes"] == 1
    assert [
        (problem["item"], problem["is_refused"]) for problem in response.json()["problems"]
    ] == [
        ("image 1", True),
        ("annotation thin", True),
        ("annotation far", True),
        ("annotation \\ud800", True),
    ]
    assert "\\ud800.png" in response.json()["problems"][0]["reason"]


def test_sending_an_image_again_replaces_its_boxes(client: TestClient) -> None:
    content = {"a.png": picture(1)}
    upload(client, coco(["a.png"], [(0, (1, 1, 10, 10)), (0, (2, 2, 10, 10))]), content)

    response = upload(client, coco(["a.png"], [(0, (5, 5, 20, 20))]), content)

    assert response.json()["items"][0]["status"] == 200
    (item,) = client.get("/labelled-images", params={"split": "train"}).json()["items"]
    assert [box["box"]["x1"] for box in item["boxes"]] == [5]


@pytest.mark.parametrize("taken", ["pool", "negative-test", "val"])
def test_same_bytes_are_never_in_two_splits(client: TestClient, taken: str) -> None:
    content = picture(1)
    if taken == "val":
        upload(client, coco(["a.png"]), {"a.png": content}, split="val")
    else:
        client.post("/images", files={"files": ("a.png", content)}, data={"split": taken})

    response = upload(client, coco(["a.png"], [(0, (1, 1, 9, 9))]), {"a.png": content})

    (item,) = response.json()["items"]
    assert item["status"] == 409
    assert f"'{taken}'" in item["problem"]["detail"]
    assert "'train'" in item["problem"]["detail"]
    assert client.get("/labelled-images", params={"split": "train"}).json()["items"] == []


def test_same_bytes_under_two_names_are_refused(client: TestClient) -> None:
    content = picture(1)

    response = upload(client, coco(["a.png", "b.png"]), {"a.png": content, "b.png": content})

    assert [item["status"] for item in response.json()["items"]] == [201, 409]


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        (b"{", "not JSON"),
        (b"[]", "COCO instances"),
        (b'{"images": []}', "lists"),
        (None, "'annotations'"),
    ],
)
def test_unusable_annotations_are_422(
    client: TestClient, annotations: bytes | None, reason: str
) -> None:
    response = upload(client, annotations, {"a.png": picture(1)})

    assert response.status_code == 422
    assert reason in response.json()["detail"]


@pytest.mark.parametrize("archive", [b"no zip", zipped(a_png=b"x")])
def test_unusable_archive_is_422(client: TestClient, archive: bytes) -> None:
    assert upload_zip(client, archive).status_code == 422


def test_zip_must_keep_to_the_limits_of_imports() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large.png", bytes(1001))
        archive.writestr("../out.png", b"1")
        for number in range(3):
            archive.writestr(f"{number}.png", bytes(900))
    limits = Limits(max_file_bytes=1000, max_total_bytes=2000, max_files=10)
    unpacked = LabelledZip(buffer, limits)

    def read(name: str) -> bytes:
        found = unpacked.find(name)
        assert found is not None
        return found()

    with pytest.raises(UnreadableImageError, match="larger than 1000 bytes"):
        read("large.png")
    with pytest.raises(UnreadableImageError, match="leads out"):
        read("../out.png")
    assert [len(read(name)) for name in ("0.png", "1.png", "1.png", "0.png")] == [900] * 4
    with pytest.raises(UnreadableArchive, match="unpacks to more than 2000 bytes"):
        read("2.png")
    with pytest.raises(UnreadableArchive, match="5 files; 4 are allowed"):
        LabelledZip(buffer, Limits(max_file_bytes=1000, max_total_bytes=2000, max_files=4))


def test_share_of_the_pool_is_sealed_by_digest() -> None:
    destination = Destination("pool", "", seal_fraction=0.25)
    digests = [f"{number:064x}"[::-1] for number in range(4096)]

    sealed = [digest for digest in digests if destination.split_of(digest) == "negative-test"]

    assert len(sealed) == 1024
    assert Destination("pool", "").split_of("0" * 64) == "pool"
