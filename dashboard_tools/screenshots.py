"""
Make the pictures of the dashboard in `docs/images/dashboard`.

`python -m dashboard_tools.screenshots` runs the demo on a port of its own, in `build/screenshots`,
where a second run finds its data again. Each page is shown in light and dark, and as on a phone.
`--url` takes a service that runs already.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from hardneg.demo.server_process import free_port

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images" / "dashboard"
DEMO = ROOT / "build" / "screenshots"
DESKTOP, PHONE = ViewportSize(width=1360, height=860), ViewportSize(width=390, height=844)
SETTLE_MS = 1200
QUALITY = 76
DEMO_TIMEOUT_S = 900


class Shot(NamedTuple):
    """One page: its picture's name, its address, the keys to press, and verdicts to take back."""

    name: str
    path: str
    keys: tuple[str, ...] = ()
    num_verdicts: int = 0


SHOTS = (
    Shot("overview", "/"),
    Shot("hard-negatives", "/dashboard/hard-negatives?model_version=digits"),
    Shot(
        "image",
        "/dashboard/hard-negatives?model_version=digits&beside=mined-2",
        ("ArrowRight", "ArrowRight", "Enter"),
    ),
    Shot(
        "review",
        "/dashboard/review?model_version=digits",
        ("n", "n", "u", "n", "Shift+ArrowRight", "Shift+ArrowRight"),
        num_verdicts=4,
    ),
    Shot("held", "/dashboard/held"),
    Shot("families", "/dashboard/families"),
    Shot("map", "/dashboard/map"),
    Shot("retrain", "/dashboard/retrain"),
    Shot("training", "/dashboard/retrain?job=2"),
    Shot("versions", "/dashboard/versions"),
    Shot("compare", "/dashboard/compare?before=digits&model_version=mined-2"),
    Shot("images", "/dashboard/images"),
    Shot("jobs", "/dashboard/jobs"),
)


def take_all(url: str, folder: Path) -> None:
    """Save every page in every mode as WebP."""
    folder.mkdir(parents=True, exist_ok=True)
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("screenshots need Chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=False)
        for shot in SHOTS:
            for mode in ("light", "dark", "phone"):
                _save(browser, url, shot, mode, folder / f"{shot.name}-{mode}.webp")
        browser.close()


def _save(
    browser: Browser, url: str, shot: Shot, mode: Literal["light", "dark", "phone"], path: Path
) -> None:
    page = browser.new_page(
        viewport=PHONE if mode == "phone" else DESKTOP,
        color_scheme="dark" if mode == "dark" else "light",
        device_scale_factor=1.5 if mode == "phone" else 1.25,
    )
    page.goto(f"{url}{shot.path}")
    page.wait_for_timeout(SETTLE_MS)
    for key in shot.keys:
        page.keyboard.press(key)
        page.wait_for_timeout(150)
    page.wait_for_timeout(SETTLE_MS)
    _write(page, path)
    for _ in range(shot.num_verdicts):  # so that every mode shows the same state
        page.keyboard.press("z")
    page.wait_for_timeout(SETTLE_MS)
    page.close()


def _write(page: Page, path: Path) -> None:
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, "WEBP", quality=QUALITY)
    print(f"{path.name}: {path.stat().st_size // 1024} KiB")


@contextmanager
def _demo() -> Iterator[str]:
    """Run the demo, and yield its address when the loop is done."""
    port = free_port()
    command = [sys.executable, "-m", "hardneg", "demo", "--folder", str(DEMO), "--port", str(port)]
    with tempfile.TemporaryFile("w+") as log:
        demo = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(demo, f"http://127.0.0.1:{port}")
            _look_for_look_alikes(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            demo.terminate()
            demo.wait()


def _wait(demo: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + DEMO_TIMEOUT_S
    while time.monotonic() < deadline and demo.poll() is None:
        try:
            jobs = httpx.get(f"{url}/jobs", params={"status": "done", "kind": "retrain"}).json()
            if len(jobs["items"]) >= 2:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise SystemExit("the demo did not come to its end")


def _look_for_look_alikes(url: str) -> None:
    """Fill the pages of held images, of families and of the map."""
    with httpx.Client(base_url=url, timeout=60) as client:
        jobs = [
            client.post(path, json={}).raise_for_status() for path in ("/families", "/hold-test")
        ]
        deadline = time.monotonic() + DEMO_TIMEOUT_S
        for job in jobs:
            path = job.json()["links"]["self"]
            while client.get(path).json()["status"] in ("todo", "running"):
                if time.monotonic() > deadline:
                    raise SystemExit(f"{path} did not come to its end")
                time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the pictures of the dashboard.")
    parser.add_argument("--url", help="a service that runs, in place of the demo's")
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder for the pictures")
    options = parser.parse_args()
    if options.url:
        take_all(options.url, options.out.absolute())
        return
    with _demo() as url:
        take_all(url, options.out.absolute())


if __name__ == "__main__":
    main()
