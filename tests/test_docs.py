import re
import subprocess
from pathlib import Path

import pytest

from service.settings import OTHER_VARIABLES, Settings

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_settings_page_has_the_row_of_every_setting() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

    rows = [line for line in page.splitlines() if line.startswith("| `HARDNEG_")]

    assert rows == [_settings_row(name) for name in Settings.model_fields]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    known = {f"HARDNEG_{name.upper()}" for name in Settings.model_fields}

    named = set(re.findall(r"\bHARDNEG_[A-Z0-9_]+\b", page.read_text(encoding="utf-8")))

    assert named <= known | OTHER_VARIABLES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = [
        target.partition("#")[0]
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:|#", target)
    ]

    missing = [target for target in targets if not (page.parent / target).exists()]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    named = set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE))

    assert named <= _make_targets()


def test_readme_opens_with_the_demo_and_the_tests() -> None:
    opening = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]

    assert re.findall(r"^make (\w+)", opening, re.MULTILINE) == ["demo", "test"]


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert {line.split()[0] for line in listed.stdout.splitlines()} == _make_targets()


def _make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(phony.split()) == targets
    return targets


def _settings_row(name: str) -> str:
    field = Settings.model_fields[name]
    shown = str(field.default).lower() if isinstance(field.default, bool) else field.default
    default = "" if shown in (None, "") else f"`{shown}`"
    return f"| `HARDNEG_{name.upper()}` | {default} | {field.description} |"
