"""
What each sampler selects on the same two images, as an SVG.

    python -m benchmarks.samplers_picture docs/explanation/samplers.svg

The images are made up: a grid of anchors, one object with a rim of ignored anchors in the first
image, none in the second, and in both the same places that look like the object.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from models.sampling import (
    AllAnchors,
    AnchorSampler,
    BalancedSampler,
    BatchedHardNegativeSampler,
    HardNegativeSampler,
    RatioSampler,
)

COLUMNS, ROWS, CELL = 24, 16, 5
PANEL_WIDTH, PANEL_HEIGHT, GAP, TITLE_HEIGHT = COLUMNS * CELL, ROWS * CELL, 12, 34
SHADES = ("#f4f4f4", "#ddd", "#bbb", "#8a8a8a", "#4a4a4a")
POSITIVE, NEGATIVE, OBJECT = "#1b7f3b", "#c62828", "#1565c0"
OBJECT_BOX = (4, 4, 8, 7)  # left, top, right, bottom, in cells
LOOK_ALIKES = ((18.0, 4.0, 2.2, 0.9), (14.0, 12.0, 3.0, 0.7), (3.0, 13.0, 1.6, 0.5))


def samplers() -> list[tuple[str, str, AnchorSampler]]:
    """Title, second line and sampler of each column."""
    seeded = torch.Generator().manual_seed
    return [
        ("AllAnchors", "focal loss weighs them", AllAnchors()),
        ("BalancedSampler", "at random", BalancedSampler(32, 0.25, generator=seeded(0))),
        ("RatioSampler", "3 per positive, OHEM", RatioSampler(3.0, min_negatives=24)),
        (
            "HardNegativeSampler",
            "from a pool of 4 × N",
            HardNegativeSampler(32, 0.25, pool_size=4, generator=seeded(0)),
        ),
        (
            "Batched…",
            "pool over both images",
            BatchedHardNegativeSampler(32, 0.25, pool_size=4, generator=seeded(0)),
        ),
        (
            "as MONAI",
            "min_neg=1",
            HardNegativeSampler(32, 0.25, min_neg=1, pool_size=4, generator=seeded(0)),
        ),
        ("as SSD upstream", "min_negatives=0", RatioSampler(3.0, min_negatives=0)),
    ]


def batch() -> tuple[list[Tensor], Tensor]:
    """int64 [A] labels of both images, and float [2 A] foreground probabilities."""
    y, x = torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij")
    prob = 0.1 * torch.rand((ROWS, COLUMNS), generator=torch.Generator().manual_seed(1))
    for center_x, center_y, radius, peak in LOOK_ALIKES:
        distance = ((x - center_x) ** 2 + (y - center_y) ** 2) / radius**2
        prob = prob + peak * torch.exp(-distance)
    left, top, right, bottom = OBJECT_BOX
    labels = torch.zeros((ROWS, COLUMNS), dtype=torch.int64)
    labels[top - 1 : bottom + 1, left - 1 : right + 1] = -1
    labels[top:bottom, left:right] = 1
    with_object = torch.where(labels == 0, prob, prob + 0.6).clamp(max=1)
    empty = torch.zeros(ROWS * COLUMNS, dtype=torch.int64)
    return [labels.flatten(), empty], torch.cat(
        [with_object.flatten(), prob.flatten().clamp(max=1)]
    )


def cells(mask: Tensor, color: str) -> str:
    """One path over all true cells of a bool [A]."""
    moves = [
        f"M{CELL * (index % COLUMNS)} {CELL * (index // COLUMNS)}h4v4h-4z"
        for index in mask.nonzero().flatten().tolist()
    ]
    return f'<path fill="{color}" d="{"".join(moves)}"/>' if moves else ""


def panel(column: int, row: int, content: str, has_object: bool) -> str:
    x = GAP + column * (PANEL_WIDTH + GAP)
    y = TITLE_HEIGHT + row * (PANEL_HEIGHT + GAP)
    left, top, right, bottom = (CELL * side for side in OBJECT_BOX)
    outline = (
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" '
        f'fill="none" stroke="{OBJECT}"/>'
        if has_object
        else ""
    )
    return (
        f'<g transform="translate({x} {y})"><rect width="{PANEL_WIDTH}" '
        f'height="{PANEL_HEIGHT}" fill="#f4f4f4"/>{content}{outline}</g>'
    )


def title(column: int, first: str, second: str) -> str:
    x = GAP + column * (PANEL_WIDTH + GAP)
    return (
        f'<text x="{x}" y="14" font-weight="bold">{first}</text>'
        f'<text x="{x}" y="27" fill="#555">{second}</text>'
    )


def draw() -> str:
    """Draw the whole picture; every call gives the same one."""
    labels, probs = batch()
    parts = [title(0, "hardness", "dark: taken for objects")]
    for row, prob in enumerate(probs.view(2, -1)):
        level = (prob * len(SHADES)).long().clamp(max=len(SHADES) - 1)
        shades = [cells(level == i, shade) for i, shade in enumerate(SHADES) if i]
        parts.append(panel(0, row, "".join(shades), has_object=row == 0))
    for column, (first, second, sampler) in enumerate(samplers(), start=1):
        parts.append(title(column, first, second))
        for row, (on, off) in enumerate(zip(*sampler(labels, probs), strict=True)):
            chosen = cells(on, POSITIVE) + cells(off, NEGATIVE)
            parts.append(panel(column, row, chosen, has_object=row == 0))
    width = GAP + (len(samplers()) + 1) * (PANEL_WIDTH + GAP)
    height = TITLE_HEIGHT + 2 * (PANEL_HEIGHT + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="10">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path)
    parser.parse_args().path.write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
