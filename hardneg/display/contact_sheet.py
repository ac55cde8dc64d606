"""The hardest images as one picture: boxes drawn, scores below."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from hardneg.client import Client, ClientError
from hardneg.schemas.hard_negatives import HardNegative
from hardneg.schemas.images import DetectionOut

COLUMNS = 5
TILE_SIDE = 256  # pixels
CAPTION_HEIGHT = 44
GAP = 8
DRAWN_SCORE = 0.3  # boxes below it are left out, except the best one
JPEG_QUALITY = 90

PAPER, INK, FAINT_INK, BOX = "#16181d", "#f2f2f2", "#9aa0aa", "#ff3d81"


@dataclass(frozen=True, slots=True)
class Tile:
    """One upright image, and its place in the ranking; boxes are in pixels of the original."""

    picture: Image.Image
    item: HardNegative


def save_contact_sheet(client: Client, items: Sequence[HardNegative], path: Path) -> None:
    """Fetch images and save them as one JPEG or PNG; raise ClientError."""
    tiles = [
        Tile(Image.open(BytesIO(client.thumbnail(item.image.id, 2 * TILE_SIDE))), item)
        for item in items
    ]
    try:
        draw_contact_sheet(tiles).save(path, quality=JPEG_QUALITY)
    except (OSError, ValueError) as error:  # Pillow raises ValueError for an unknown suffix
        raise ClientError(f"cannot save {path}: {error}") from error


def draw_contact_sheet(tiles: Sequence[Tile]) -> Image.Image:
    """Draw tiles in order, five in a row."""
    columns = max(1, min(COLUMNS, len(tiles)))
    rows = max(1, -(-len(tiles) // COLUMNS))
    step_x, step_y = TILE_SIDE + GAP, TILE_SIDE + CAPTION_HEIGHT + GAP
    sheet = Image.new("RGB", (GAP + columns * step_x, GAP + rows * step_y), PAPER)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, COLUMNS)
        sheet.paste(_draw_tile(tile), (GAP + column * step_x, GAP + row * step_y))
    return sheet


def _draw_tile(tile: Tile) -> Image.Image:
    scale = TILE_SIDE / max(tile.picture.size)
    width, height = (max(1, round(side * scale)) for side in tile.picture.size)
    picture = tile.picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    box_scale = (width / tile.item.image.width, height / tile.item.image.height)
    detections = tile.item.detections
    drawn = [found for found in detections if found is detections[0] or found.score >= DRAWN_SCORE]
    for found in reversed(drawn):  # the best one on top
        _draw_box(draw, found, box_scale)
    card = Image.new("RGB", (TILE_SIDE, TILE_SIDE + CAPTION_HEIGHT), PAPER)
    card.paste(picture, ((TILE_SIDE - width) // 2, (TILE_SIDE - height) // 2))
    _draw_caption(ImageDraw.Draw(card), tile.item)
    return card


def _draw_box(draw: ImageDraw.ImageDraw, found: DetectionOut, scale: tuple[float, float]) -> None:
    x, y = scale
    box = (found.box.x1 * x, found.box.y1 * y, found.box.x2 * x, found.box.y2 * y)
    draw.rectangle(box, outline=BOX, width=2)
    text, font = f"{found.label} {found.score:.2f}", ImageFont.load_default(13)
    left, top, right, bottom = draw.textbbox((box[0], box[1]), text, font=font, anchor="lb")
    lowered = max(0.0, -top)  # at the upper edge, the text goes inside of the box
    draw.rectangle((left - 1, top + lowered - 1, right + 1, bottom + lowered + 1), fill=BOX)
    draw.text((box[0], box[1] + lowered), text, INK, font=font, anchor="lb")


def _draw_caption(draw: ImageDraw.ImageDraw, item: HardNegative) -> None:
    score = "no score" if item.max_score is None else f"{item.max_score:.4f}"
    draw.text((0, TILE_SIDE + 4), f"#{item.rank}   {score}", INK, font=ImageFont.load_default(17))
    name = f"image {item.image.id}   {item.image.file_name}"
    draw.text((0, TILE_SIDE + 26), name, FAINT_INK, font=ImageFont.load_default(12))
