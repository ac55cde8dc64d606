"""
How quick the dashboard's gallery is with 10,000 cards, in Chromium on this machine.

    python -m benchmarks.dashboard
    python -m benchmarks.dashboard --images 500

Server, browser and its software renderer share the processor. Frames are the gaps between two calls
of requestAnimationFrame while the page scrolls 120 pixels a frame.
"""

import argparse
import shutil
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.pictures import jpegs
from benchmarks.scenes import trained
from benchmarks.service_process import hardneg_server, wait_until_scored
from models.detectors.checkpoint import save_checkpoint

NETWORK, NUM_CLASSES = "ssd_small", 2
NUM_IMAGES = 10_000
SIZE = (320, 240)
FILES_PER_REQUEST = 250
SCROLL_MS = 5000
SLOW_FRAME_MS = 50
NUM_KEYS = 50
NUM_STEPS = 20

# Notes when the first card is there, and how much had been transferred by then.
WATCH_FIRST_CARD = """
new MutationObserver((_, observer) => {
  if (!document.querySelector(".card-link")) return;
  observer.disconnect();
  const entries = ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind));
  const bytes = entries.reduce((sum, entry) => sum + entry.transferSize, 0);
  window.firstCard = { ms: performance.now(), bytes };
}).observe(document, { childList: true, subtree: true });
"""
SCROLL = """
(duration) => new Promise((resolve) => {
  const gaps = [];
  const end = performance.now() + duration;
  let last = performance.now();
  const step = (now) => {
    gaps.push(now - last);
    last = now;
    window.scrollBy(0, 120);
    if (now < end) requestAnimationFrame(step);
    else resolve(gaps.slice(1));
  };
  requestAnimationFrame(step);
})
"""
PRESS = """
() => new Promise((resolve) => {
  const started = performance.now();
  const key = { key: "ArrowRight", bubbles: true };
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", key));
  resolve(performance.now() - started);
})
"""
SLIDE = """
(share) => {
  const slider = document.querySelector("[data-threshold]");
  const started = performance.now();
  slider.value = share;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  document.body.getBoundingClientRect();
  return performance.now() - started;
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=NUM_IMAGES)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--models", type=Path, default=Path("runs/benchmarks"))
    options = parser.parse_args()
    path = shutil.which("chromium")
    if path is None:
        print("left out: no Chromium; on Debian, `apt-get install chromium`")
        return
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        checkpoint = Path(folder) / "small.safetensors"
        save_checkpoint(trained(NETWORK, NUM_CLASSES, options.models), checkpoint)
        with hardneg_server(checkpoint) as (server, client):
            _fill(client, options.images)
            browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=False)
            for _ in range(options.turns):
                _measure(browser, f"http://127.0.0.1:{server.port}", options.images)
            browser.close()


def _fill(client: httpx.Client, num_images: int) -> None:
    images = jpegs(num_images, NUM_CLASSES, SIZE)
    for start in range(0, num_images, FILES_PER_REQUEST):
        chunk = images[start : start + FILES_PER_REQUEST]
        files = [("files", (f"{start + k}.jpg", image)) for k, image in enumerate(chunk)]
        answer = client.post("/images", files=files, headers={"Prefer": "respond-async"})
        answer.raise_for_status()
    wait_until_scored(client)


def _measure(browser: Browser, url: str, num_images: int) -> None:
    page = browser.new_page(viewport={"width": 1360, "height": 860})
    page.add_init_script(WATCH_FIRST_CARD)
    page.goto(f"{url}/dashboard/hard-negatives")
    page.wait_for_selector(".card-link")
    first: dict[str, Any] = page.evaluate("() => window.firstCard")
    _wait_for_all(page, num_images)
    gaps: list[float] = page.evaluate(SCROLL, SCROLL_MS)
    slides = [page.evaluate(SLIDE, step / NUM_STEPS) for step in range(NUM_STEPS)]
    page.evaluate("() => window.scrollTo(0, 0)")
    page.wait_for_selector("[data-index='0']")
    page.focus("[data-index='0']")
    keys = [page.evaluate(PRESS) for _ in range(NUM_KEYS)]
    slow = sum(gap > SLOW_FRAME_MS for gap in gaps)
    print(
        f"{num_images} images: first card after {first['ms'] / 1000:.2f} s and "
        f"{first['bytes'] / 1000:.0f} kB; key {statistics.median(keys):.1f} ms "
        f"(most {max(keys):.1f}); threshold {statistics.median(slides):.1f} ms "
        f"(most {max(slides):.1f}); {len(gaps)} frames of scrolling, median "
        f"{statistics.median(gaps):.0f} ms, {slow} over {SLOW_FRAME_MS} ms (most {max(gaps):.0f})"
    )
    page.close()


def _wait_for_all(page: Page, num_images: int) -> None:
    """Wait until the page has loaded the whole list, or its first 10,000 images."""
    counted = f"{min(num_images, NUM_IMAGES):,}"
    while counted not in page.inner_text("[data-counts]"):
        page.wait_for_timeout(100)


if __name__ == "__main__":
    main()
