"""Trainings and versions in a real browser, against a real server and a real training."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.service.dashboard.browser import WatchedPage
from tests.service.mining import send_everything, work
from tests.service.servers import free_port, running_server

pytestmark = [pytest.mark.slow, on_sqlite_only]


def test_person_retrains_compares_activates_rolls_back_and_trains_elsewhere(
    settings: Settings, checkpoint: Path, other_checkpoint: Path, watched: WatchedPage
) -> None:
    port, page = free_port(), watched.page
    with running_server(settings.sqlalchemy_url, settings.data_dir, port) as (_, client):
        _fill(client, checkpoint)
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.get_by_text("squares is not measured yet.")).to_be_visible()
        page.get_by_role("link", name="Retrain").first.click()
        _start_training(page, watched)
        assert work(settings)
        expect(page.get_by_text("It waits for a person:")).to_be_visible(timeout=60_000)
        expect(page.locator("[data-log]")).to_contain_text("epoch 2 of 2")
        expect(page.locator("[data-chart='loss'] canvas")).to_be_visible()
        watched.check_accessibility()
        page.get_by_role("link", name="Compare image by image").click()
        _compare(page, watched)
        page.get_by_role("link", name="Versions").first.click()
        watched.check_accessibility()
        for version, button in (("v2", "Activate"), ("squares", "Roll back")):
            page.get_by_role("row", name=version).get_by_role("button", name=button).click()
            page.get_by_role("dialog").get_by_role("button", name=button).click()
            expect(page.locator(".lead")).to_contain_text(f"{version} serves.", timeout=60_000)
        _look_at_the_curves(page, watched)
        page.get_by_role("link", name="v2", exact=True).click()
        expect(page.locator("[data-mined] img")).to_have_count(3)
        expect(page.locator("[data-effect-vanished]")).to_have_text(re.compile("[0-9]"))
        expect(page.locator("[data-effect-note]")).to_contain_text("squares")
        watched.check_accessibility()
        _train_elsewhere(page, other_checkpoint)
        assert work(settings, lane="measuring")
        expect(page.locator("[data-result]")).to_contain_text("back", timeout=60_000)
        runs = client.get("/training-runs").json()["items"]
        assert [run["model_version_id"] for run in runs] == [3, 2]
        assert client.get("/jobs").json()["items"][0]["status"] == "done"
        watched.leave()


def _look_at_the_curves(page: Page, watched: WatchedPage) -> None:
    """Find both versions on the overview, and return to the table of versions."""
    page.get_by_role("link", name="Overview", exact=True).click()
    for name in ("false-detections", "ap"):
        expect(page.locator(f"[data-chart='{name}'] canvas")).to_be_visible()
    curves = page.locator("[data-chart='ap']")
    curves.hover(position={"x": 60, "y": 100})
    expect(page.locator(".chart-note").last).to_contain_text("squares: AP")
    curves.hover(position={"x": (curves.bounding_box() or {"width": 0})["width"] - 20, "y": 100})
    expect(page.locator(".chart-note").last).to_contain_text("v2: AP")
    watched.check_accessibility()
    page.get_by_role("link", name="Versions").first.click()


def _fill(client: httpx.Client, checkpoint: Path) -> None:
    with checkpoint.open("rb") as file:
        client.post("/model-versions", files={"checkpoint": file}, data={"name": "squares"})
    client.post("/model-versions/squares/activate").raise_for_status()
    send_everything(client)


def _start_training(page: Page, watched: WatchedPage) -> None:
    plan = page.locator("[data-plan]")
    expect(plan).to_contain_text("squares learns from 9 images")
    page.get_by_label("New negatives").fill("3")
    page.get_by_label("Epochs", exact=True).fill("2")
    page.get_by_label("The new version").select_option("manual")
    page.get_by_text("Advanced").click()
    page.get_by_label("Steps an epoch").fill("2")
    page.get_by_label("Batch size").fill("4")
    expect(plan).to_contain_text("squares learns from 11 images")
    expect(plan).to_contain_text("2 epochs of 2")
    expect(plan).to_contain_text("It waits until a person activates it.")
    expect(plan.locator("img")).to_have_count(3)
    page.wait_for_load_state("networkidle")
    watched.check_accessibility()
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/dashboard/retrain?job=1")
    expect(page.get_by_role("button", name="Cancel").first).to_be_visible()


def _compare(page: Page, watched: WatchedPage) -> None:
    expect(page.locator("[data-summary]")).to_contain_text("of 6 sealed images")
    expect(page.locator("[data-chart='froc'] canvas")).to_be_visible()
    page.get_by_role("slider").fill("0.05")
    expect(page.locator("[data-threshold-value]")).to_have_text("0.05 for both")
    page.get_by_role("button", name="Pool").click()
    page.get_by_role("button", name="Still firing").click()
    expect(page.locator("[data-summary]")).to_contain_text("of 10 images of the pool")
    count = page.locator("[data-count='stayed']").text_content()
    expect(page.locator(".pair")).to_have_count(int(count or 0))
    page.wait_for_load_state("networkidle")
    watched.check_accessibility()
    page.locator(".pair button").first.click()
    expect(page.get_by_role("dialog").locator(".stage-title").last).to_contain_text(
        "v2: highest score"
    )
    watched.check_accessibility()
    page.keyboard.press("Escape")
    assert "split=pool&change=stayed&threshold=0.05" in page.url


def _train_elsewhere(page: Page, result: Path) -> None:
    """Freeze a list, download it, and bring a file back as its result."""
    page.get_by_role("link", name="Versions").first.click()
    page.locator("[data-freeze-form]").get_by_label("New negatives").fill("2")
    page.get_by_role("button", name="Freeze the list").click()
    waiting = page.locator("[data-list]")
    expect(waiting).to_contain_text("8 labelled, 0 kept, 2 new")
    with page.expect_download() as download:
        waiting.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "training-run-2-all-yolo.zip"
    waiting.get_by_label("Result").set_input_files(result)
    waiting.get_by_label("Name").fill("back")
    waiting.get_by_role("button", name="Bring it back").click()
    page.wait_for_url("**/dashboard/retrain?job=2", timeout=60_000)
