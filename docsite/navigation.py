"""The site's menu: the sections of `docs/index.md`, and the pages that each links to."""

import re
from pathlib import Path

INDEX = Path(__file__).parents[1] / "docs" / "index.md"
SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^]]+)\]\(([\w/.-]+)\.md\)")


def toctrees() -> str:
    """Return a hidden table of contents for each section of the index page."""
    sections = SECTION.findall(INDEX.read_text(encoding="utf-8"))
    return "\n".join(_toctree(title, LINK.findall(body)) for title, body in sections)


def _toctree(title: str, links: list[tuple[str, str]]) -> str:
    pages = [f"{text} <{page}>" for text, page in links]
    lines = ["```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```", ""]
    return "\n".join(lines)
