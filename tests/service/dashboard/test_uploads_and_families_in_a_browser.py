"""Uploads, held images, families and jobs in a real browser, against a real server."""

import json
import time
import zipfile
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.scenes import ORANGE, RED, encoded, scene, scene_bytes
from tests.service.dashboard.browser import WatchedPage
from tests.service.mining import work
from tests.service.servers import free_port, running_server

pytestmark = [pytest.mark.slow, on_sqlite_only]

NUM_OBJECTS = 4


def test_images_are_added_and_held_ones_and_a_family_are_judged_by_keys(
    database_url: str, tmp_path: Path, checkpoint: Path, watched: WatchedPage
) -> None:
    port, page, data = free_port(), watched.page, tmp_path / "data"
    settings = Settings(
        data_dir=data, database_url=database_url, device="cpu", embedded_worker=False
    )
    with running_server(database_url, data, port) as (_, client):
        _add_detector(client, checkpoint)
        page.goto(f"http://127.0.0.1:{port}/dashboard/images")
        _add_labelled(page, tmp_path)
        _add_pool(page, tmp_path, settings)
        watched.check_accessibility()
        _run_jobs(client, settings)
        _judge_held(page, watched, client)
        _judge_family(page, watched, client)
        _judge_on_the_map(page, watched, client)
        _read_a_job(page, watched)
        watched.leave()


def _add_detector(client: httpx.Client, checkpoint: Path) -> None:
    with checkpoint.open("rb") as file:
        answer = client.post("/model-versions", files={"checkpoint": file}, data={"name": "red"})
    client.post(f"/model-versions/{answer.json()['id']}/activate").raise_for_status()


def _add_labelled(page: Page, folder: Path) -> None:
    files, images, annotations = [], [], []
    for seed in range(20):
        pixels, box = scene(seed, RED)
        assert box is not None
        path = folder / f"red-{seed}.png"
        path.write_bytes(encoded(pixels))
        files.append(path)
        images.append({"id": seed, "file_name": path.name})
        x1, y1, x2, y2 = box
        annotation = {"id": seed, "image_id": seed, "category_id": 1}
        annotations.append({**annotation, "bbox": [x1, y1, x2 - x1, y2 - y1]})
    coco = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "red"}],
    }
    labels = folder / "labels.json"
    labels.write_text(json.dumps(coco))
    page.get_by_text("With boxes, to train on.").click()
    page.locator("[data-file-input]").set_input_files(files)
    expect(page.locator("[data-upload-problem]")).to_contain_text("add the COCO JSON too")
    page.locator("[data-file-input]").set_input_files(labels)
    page.get_by_role("button", name="Upload 21 files to train").click()
    expect(page.locator("[data-upload-status]")).to_have_text("21 stored", timeout=60_000)
    page.get_by_role("button", name="Clear the list").click()


def _add_pool(page: Page, folder: Path, settings: Settings) -> None:
    """Add loose images, one of them damaged, and a zip that a worker unpacks."""
    loose = []
    for seed in range(NUM_OBJECTS):
        loose.append(folder / f"yard-{seed}.png")
        loose[-1].write_bytes(scene_bytes(100 + seed, RED))
    damaged = folder / "damaged.png"
    damaged.write_bytes(b"no image")
    with zipfile.ZipFile(folder / "orange.zip", "w") as archive:
        for seed in range(36):
            archive.writestr(f"orange-{seed}.png", scene_bytes(200 + seed, ORANGE))
    page.get_by_text("The images to mine in.").click()
    page.get_by_label("Source, a word").fill("yard")
    page.locator("[data-file-input]").set_input_files([*loose, damaged, folder / "orange.zip"])
    page.get_by_role("button", name="Upload 6 files to the pool").click()
    status = page.locator("[data-upload-status]")
    expect(status).to_have_text("1 unpacking, 4 stored, 1 refused", timeout=60_000)
    assert work(settings, lane="import")
    expect(status).to_have_text("5 stored, 1 refused", timeout=60_000)
    expect(page.get_by_role("row", name="damaged.png")).to_contain_text("not a JPEG")
    expect(page.get_by_role("row", name="yard 40")).to_be_visible()


def _run_jobs(client: httpx.Client, settings: Settings) -> None:
    while (pool := client.get("/hard-negatives").json()["pool"])["scored"] < pool["images"]:
        time.sleep(0.1)
    for path, lane in (("/hold-test", "hold-test"), ("/families", "group")):
        client.post(path).raise_for_status()
        assert work(settings, lane=lane)


def _judge_held(page: Page, watched: WatchedPage, client: httpx.Client) -> None:
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page.locator("[data-summary]")).to_have_text(f"{NUM_OBJECTS} images may hold an object")
    expect(page.locator("[data-crops] figure")).to_have_count(4)
    watched.check_accessibility()
    for key in "oonz":
        page.keyboard.press(key)
    page.keyboard.press("n")
    expect(page.locator("[data-summary]")).to_have_text("1 image may hold an object")
    expect(page.locator("[data-saved]")).to_have_text("All saved")
    assert client.get("/hold-test/held").json()["num_held"] == 1
    page.keyboard.press("b")
    answer = page.get_by_role("button", name="Object", exact=True).first
    expect(answer).to_be_visible()
    page.keyboard.press("1")
    expect(answer).to_have_attribute("aria-pressed", "true")
    watched.check_accessibility()
    page.keyboard.press("1")
    nothing = page.get_by_role("button", name="Nothing", exact=True).first
    expect(nothing).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(page.locator("[data-summary]")).to_have_text("0 images may hold an object")


def _judge_family(page: Page, watched: WatchedPage, client: httpx.Client) -> None:
    before = _num_judged(client)
    page.keyboard.press("g")
    page.keyboard.press("f")
    family = page.locator("[data-index='0']")
    size = int((family.get_by_role("button").text_content() or "").split()[0])
    watched.check_accessibility()
    page.keyboard.press("Enter")
    tiles = page.locator("[data-sheet-tiles] figure")
    expect(tiles).to_have_count(size)
    watched.check_accessibility()
    page.keyboard.press("u")
    expect(page.locator("[data-saved]")).to_have_text("All saved")
    families = client.get("/families").json()["items"]
    assert sum(family["verdicts"]["unsure"] for family in families) == size
    page.keyboard.press("z")
    expect(page.locator("[data-saved]")).to_have_text("All saved")
    assert _num_judged(client) == before
    page.keyboard.press("Enter")
    tiles.first.get_by_role("button").click()
    expect(page.get_by_role("heading", name="Boxes")).to_be_visible()
    page.keyboard.press("s")
    expect(page.get_by_role("group", name="Images that look like it")).to_contain_text(".")
    watched.check_accessibility()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")


def _judge_on_the_map(page: Page, watched: WatchedPage, client: httpx.Client) -> None:
    before = _num_judged(client)
    page.keyboard.press("g")
    page.keyboard.press("m")
    canvas = page.locator("[data-canvas]")
    expect(page.locator("[data-summary]")).to_contain_text("detections of red")
    place = canvas.bounding_box()
    assert place is not None
    left, top = place["x"] + 2, place["y"] + 2
    right, bottom = left + place["width"] - 4, top + place["height"] - 4
    page.keyboard.press("l")
    page.mouse.move(left, top)
    page.mouse.down()
    for corner in ((right, top), (right, bottom), (left, bottom)):
        page.mouse.move(*corner, steps=3)
    page.mouse.up()
    expect(page.locator("[data-selected]")).to_have_text("40 images selected")
    watched.check_accessibility()
    page.keyboard.press("u")
    expect(page.locator("[data-saved]")).to_have_text("All saved")
    assert _num_judged(client) == 40
    page.keyboard.press("z")
    expect(page.locator("[data-saved]")).to_have_text("All saved")
    assert _num_judged(client) == before


def _read_a_job(page: Page, watched: WatchedPage) -> None:
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page.locator("[data-title]")).to_have_text("Grouping 3")
    page.get_by_role("button", name="Import 1").click()
    expect(page.locator("[data-log]")).to_contain_text("done")
    expect(page.locator("[data-result-facts]")).to_contain_text("36")
    watched.check_accessibility()


def _num_judged(client: httpx.Client) -> int:
    items = client.get("/sources").json()["items"]
    return sum(item["num_judged"] for item in items)
