"""
The picture on top of the README: the pool's scenes that fool the demo's detector most.

    hardneg demo --folder demo-data              # leave it running
    python -m docsite.demo_picture docs/images/demo.jpg --url http://127.0.0.1:8000

The first row shows the scenes by the version that the demo trains first, the second row the same
scenes by the version that it mined last, which may have trained on them.

The pixels may be published: the digits are UCI's optical digits (E. Alpaydin and C. Kaynak, CC BY
4.0), and only scenes on these of scikit-image's photographs are shown: an astronaut (NASA, public
domain), a cat and a lawn (CC0), ancient coins (Brooklyn Museum, no known copyright restrictions).
"""

import argparse
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hardneg.demo.data import POOL_STREAM
from hardneg.demo.loop import FIRST, MINED
from hardneg.demo.scenes import POOL_PHOTOGRAPHS
from hardneg.display.contact_sheet import COLUMNS, INK, PAPER, Tile, draw_contact_sheet
from hardneg.schemas.hard_negatives import HardNegative
from hardneg.schemas.images import ScoredImageOut

PUBLISHABLE = {"astronaut.png", "chelsea.png", "coins.png", "grass.png"}
MARGIN = 40  # pixels, for the names of the rows
WIDTH = 1100  # pixels
TIMEOUT_S = 600
JPEG_QUALITY = 78


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Draw the pool's worst scenes before and after mining."
    )
    parser.add_argument("file", type=Path, help="picture to write, .jpg or .png")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the demo's service")
    parser.add_argument("--after", default=f"{MINED}-2", help="version of the second row")
    parser.add_argument("--seed", type=int, default=0, help="the demo's seed")
    arguments = parser.parse_args()
    with httpx.Client(base_url=arguments.url, timeout=TIMEOUT_S) as service:
        after = pool_images(service, arguments.after, arguments.seed)
        before = pool_images(service, FIRST, arguments.seed)
        worst = sorted(before, key=lambda id_: before[id_].log_odds or 0.0, reverse=True)[:COLUMNS]
        tiles = [
            tile(service, rank, images[id_])
            for images in (before, after)
            for rank, id_ in enumerate(worst, 1)
        ]
    picture = name_rows(draw_contact_sheet(tiles), ["before mining", "after mining"])
    picture.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    picture.save(arguments.file, quality=JPEG_QUALITY, optimize=True)


def pool_images(service: httpx.Client, version: str, seed: int) -> dict[int, ScoredImageOut]:
    """Let the version serve, and return its scores of the publishable scenes of the pool, by id."""
    service.post(f"/model-versions/{version}/activate").raise_for_status()
    listing = service.get("/images", params={"split": "pool", "limit": 1000})
    pages = [
        service.get(f"/images/{item['id']}")
        for item in listing.raise_for_status().json()["items"]
        if photograph_of(item["file_name"], seed) in PUBLISHABLE
    ]
    images = [ScoredImageOut.model_validate_json(page.raise_for_status().content) for page in pages]
    assert all(image.model_version == version for image in images)
    return {image.id: image for image in images}


def photograph_of(file_name: str, seed: int) -> str:
    """Return the photograph behind a scene of the pool: the first thing that `SceneMaker` draws."""
    index = int(file_name.partition("-")[0])
    random = np.random.default_rng((seed, POOL_STREAM, index))
    return POOL_PHOTOGRAPHS[int(random.integers(len(POOL_PHOTOGRAPHS)))][1]


def tile(service: httpx.Client, rank: int, image: ScoredImageOut) -> Tile:
    content = service.get(f"/images/{image.id}/content").raise_for_status().content
    item = HardNegative(
        rank=rank,
        max_score=image.max_score,
        log_odds=image.log_odds,
        detections=image.detections,
        image=image,
    )
    return Tile(Image.open(BytesIO(content)), item)


def name_rows(sheet: Image.Image, names: Sequence[str]) -> Image.Image:
    """Return the sheet with a margin on the left that has the rows' names, turned upright."""
    picture = Image.new("RGB", (MARGIN + sheet.width, sheet.height), PAPER)
    picture.paste(sheet, (MARGIN, 0))
    height = sheet.height // len(names)
    for row, name in enumerate(names):
        strip = Image.new("RGB", (height, MARGIN), PAPER)
        place = (height // 2, MARGIN // 2)
        font = ImageFont.load_default(19)
        ImageDraw.Draw(strip).text(place, name, INK, font=font, anchor="mm")
        picture.paste(strip.rotate(90, expand=True), (0, row * height))
    return picture


if __name__ == "__main__":
    main()
