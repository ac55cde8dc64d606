"""The page on samplers is complete, and its picture matches the code."""

from pathlib import Path

import pytest

import models.sampling
from benchmarks.samplers_picture import draw
from models.sampling import SamplerName

DOCS = Path(__file__).parents[3] / "docs" / "explanation"


def test_the_picture_shows_the_samplers_choices() -> None:
    assert (DOCS / "samplers.svg").read_text(encoding="utf-8") == draw()


@pytest.mark.parametrize(
    "name",
    [
        *(n for n in models.sampling.__all__ if n != "SamplerName"),
        "HardMiningCrossEntropyLoss",
        "SSDLoss",
        "match_default_boxes",
        "FocalLoss",
        *SamplerName,
    ],
)
def test_the_page_describes(name: str) -> None:
    assert name in (DOCS / "samplers.md").read_text(encoding="utf-8")
