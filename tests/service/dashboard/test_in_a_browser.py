"""The dashboard in a real browser, against a real server."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.databases import on_sqlite_only
from tests.scenes import ORANGE, scene_bytes
from tests.service.dashboard.browser import WatchedPage
from tests.service.servers import free_port, running_server

pytestmark = [pytest.mark.slow, on_sqlite_only]

KEY = "a-key-of-this-test"
NUM_IMAGES = 48
JUDGED_BEFORE, JUDGED_WHILE_DOWN, JUDGED_AFTER = 20, 5, 15


def test_newcomer_reaches_a_ranked_list_and_loses_no_verdict_when_the_server_dies(
    database_url: str, tmp_path: Path, checkpoint: Path, watched: WatchedPage
) -> None:
    port, page = free_port(), watched.page
    images = _save_images(tmp_path / "images")
    with running_server(database_url, tmp_path / "data", port) as (server, client):
        page.goto(f"http://127.0.0.1:{port}/")
        watched.check_accessibility()
        _add_detector_and_images(page, checkpoint, images)
        _look_at_the_gallery(page, watched)
        page.get_by_role("link", name="Review these").click()
        _press(page, "n", JUDGED_BEFORE)
        expect(page.locator("[data-saved]")).to_have_text("All saved")
        watched.check_accessibility()
        with watched.outage():
            server.kill()
            server.join()
            _press(page, "n", JUDGED_WHILE_DOWN)
            expect(page.locator("[data-saved]")).to_have_text("5 verdicts not saved yet")
            expect(page.locator("[data-offline]")).to_be_visible()
    with watched.outage(), running_server(database_url, tmp_path / "data", port) as (_, client):
        expect(page.locator("[data-saved]")).to_have_text("All saved", timeout=60_000)
        _press(page, "u", JUDGED_AFTER)
        expect(page.locator("[data-saved]")).to_have_text("All saved")
        page.reload()

        expect(page.locator("[data-progress-text]")).to_have_text("40 of 48 judged, 8 left")
        assert _verdicts(client) == {"negative": 25, "unsure": 15, None: 8}


def test_reviewer_signs_in_undoes_judges_ranges_overwrites_nobody_and_signs_out(
    database_url: str, tmp_path: Path, checkpoint: Path, watched: WatchedPage
) -> None:
    port, page = free_port(), watched.page
    with running_server(database_url, tmp_path / "data", port, api_key=KEY) as (_, client):
        _fill(client, checkpoint, num_images=12)
        page.goto(f"http://127.0.0.1:{port}/dashboard/review")
        _sign_in(page, "not-the-key")
        expect(page.get_by_role("alert")).to_contain_text("does not know this key")
        watched.check_accessibility()
        _sign_in(page, KEY)
        progress = page.locator("[data-progress-text]")
        expect(progress).to_have_text("0 of 12 judged, 12 left")
        _press(page, "o", 2)
        _press(page, "z", 1)
        expect(progress).to_have_text("1 of 12 judged, 11 left")
        _press(page, "Shift+ArrowRight", 3)
        expect(page.locator("[data-selection]")).to_contain_text("for 4 images")
        _press(page, "n", 1)
        expect(progress).to_have_text("5 of 12 judged, 7 left")
        ranked = client.get("/hard-negatives", params={"verdict": "any", "n": 12}).json()["items"]
        other = ranked[5]["image"]["id"]
        client.put(f"/images/{other}/verdict", json={"verdict": "unsure"}).raise_for_status()
        _press(page, "n", 1)

        expect(page.get_by_role("alert")).to_contain_text("judged by somebody else meanwhile")
        expect(page.locator("[data-saved]")).to_have_text("All saved")
        assert _verdicts(client) == {"contains-object": 1, "negative": 4, "unsure": 1, None: 6}
        page.get_by_role("button", name="Use mine").click()
        expect(page.locator("[data-saved]")).to_have_text("All saved")
        page.emulate_media(color_scheme="light")
        watched.check_accessibility()
        _press(page, "a", 1)
        _press(page, "u", 1)
        expect(progress).to_have_text("All 12 judged")
        expect(page.locator("[data-saved]")).to_have_text("All saved")
        assert _verdicts(client) == {"contains-object": 1, "negative": 5, "unsure": 6}
        kept = page.evaluate(
            "() => JSON.stringify([document.cookie, localStorage, sessionStorage])"
        )
        assert kept.startswith('["",')  # no script can read the cookie
        assert KEY not in kept
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        page.goto(f"http://127.0.0.1:{port}/dashboard/review")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        watched.leave()


def _sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def _add_detector_and_images(page: Page, checkpoint: Path, images: list[Path]) -> None:
    page.get_by_label("Checkpoint").set_input_files(checkpoint)
    page.get_by_label("Name").fill("squares")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("squares serves")).to_be_visible(timeout=60_000)
    page.get_by_label("Images", exact=True).set_input_files(images)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/dashboard/hard-negatives", timeout=60_000)


def _look_at_the_gallery(page: Page, watched: WatchedPage) -> None:
    counts = page.locator("[data-counts]")
    expect(counts).to_contain_text(f"of {NUM_IMAGES} images")
    watched.check_accessibility()
    before = counts.text_content()
    page.get_by_label("Show boxes from score").fill("0.05")
    expect(counts).not_to_have_text(before or "")
    page.locator("[data-index='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("[data-viewer-title]")).to_contain_text("#2")
    page.locator("[data-beside]").select_option("squares")
    expect(page.get_by_text("squares: highest score")).to_be_visible()
    watched.check_accessibility()
    page.keyboard.press("Escape")
    assert re.search(r"threshold=0.05", page.url)


def _press(page: Page, key: str, times: int) -> None:
    page.wait_for_selector("[data-body]:not([hidden])")
    for _ in range(times):
        page.keyboard.press(key)


def _save_images(folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{seed}.png" for seed in range(NUM_IMAGES)]
    for seed, path in enumerate(paths):
        path.write_bytes(scene_bytes(seed, ORANGE if seed % 2 else None))
    return paths


def _fill(client: httpx.Client, checkpoint: Path, num_images: int) -> None:
    with checkpoint.open("rb") as file:
        answer = client.post("/model-versions", files={"checkpoint": file})
    client.post(f"/model-versions/{answer.json()['id']}/activate").raise_for_status()
    files = [("files", (f"{seed}.png", scene_bytes(seed))) for seed in range(num_images)]
    client.post("/images", files=files).raise_for_status()


def _verdicts(client: httpx.Client) -> dict[str | None, int]:
    images = client.get("/images", params={"limit": 1000}).json()["items"]
    verdicts = [image["verdict"] for image in images]
    return {verdict: verdicts.count(verdict) for verdict in verdicts}
