import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from docsite.cli_page import command_paths
from docsite.navigation import INDEX, LINK
from docsite.settings_page import PAGE as SETTINGS_PAGE
from docsite.settings_page import renew, settings_named
from hardneg import Client
from hardneg.cli.app import app
from service.settings import OTHER_VARIABLES, Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "service/**/*.md", ".github/**/*.md")
    for page in ROOT.glob(pattern)
)
MAX_LINE = 120  # characters
CODE_BLOCK = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_settings_page_describes_every_setting_as_the_code_does() -> None:
    page = SETTINGS_PAGE.read_text(encoding="utf-8")

    assert sorted(settings_named(page)) == sorted(Settings.model_fields)
    assert page == renew(page), "write it again with `python -m docsite.settings_page`"


@each_page
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    known = {f"HARDNEG_{name.upper()}" for name in Settings.model_fields}

    named = set(re.findall(r"\bHARDNEG_[A-Z0-9_]+\b", page.read_text(encoding="utf-8")))

    assert named <= known | OTHER_VARIABLES


@each_page
def test_no_line_is_longer_than_120_characters(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()

    assert [number for number, line in enumerate(lines, 1) if len(line) > MAX_LINE] == []


@each_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    missing = [
        f"{target}#{anchor}" if anchor else target
        for target, anchor in _relative_links(page)
        if not _leads_somewhere(page.parent / target if target else page, anchor)
    ]

    assert missing == []


@each_page
def test_every_make_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))

    assert named <= _make_targets()


@each_page
def test_every_hardneg_command_that_a_page_shows_has_its_options(page: Path) -> None:
    blocks = "".join(block[0] for block in CODE_BLOCK.finditer(page.read_text(encoding="utf-8")))

    unknown = [
        f"{option} in {line}"
        for line in re.findall(r"^hardneg [a-z].*$", blocks, re.MULTILINE)
        for option in _options(shlex.split(line, comments=True)[1:])
    ]

    assert unknown == []


@each_page
def test_every_client_method_that_a_page_shows_exists(page: Path) -> None:
    called = set(re.findall(r"\bclient\.(\w+)\(", page.read_text(encoding="utf-8")))

    assert [name for name in called if not hasattr(Client, name)] == []


def test_index_of_the_docs_links_to_every_page() -> None:
    docs = INDEX.parent
    linked = {f"{name}.md" for _, name in LINK.findall(INDEX.read_text(encoding="utf-8"))}

    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md")} - {"index.md"}

    assert linked == pages


def test_every_page_that_the_code_names_exists() -> None:
    sources = subprocess.run(
        ["git", "grep", "-hoE", r"docs/[a-z0-9/-]+\.(md|svg|jpg)", "--", "*.py", "Makefile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert [name for name in sources.stdout.split() if not (ROOT / name).exists()] == []


def test_readme_opens_with_a_picture_the_demo_and_the_tests() -> None:
    opening = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]

    assert re.match(r"# hardneg\n\n!\[[^]]+\]\(docs/images/demo\.jpg\)\n", opening)
    assert re.findall(r"^make (\w+)", opening, re.MULTILINE) == ["demo", "test"]


def test_readme_names_five_commands_for_a_users_own_images() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Your own images in five commands\n")[2]

    block = section.split("```")[1]

    assert len(re.findall(r"^hardneg ", block, re.MULTILINE)) == 5


@pytest.mark.parametrize("picture", sorted((ROOT / "docs").rglob("*.jpg")), ids=lambda p: p.name)
def test_picture_is_small_enough_to_load_at_once(picture: Path) -> None:
    assert picture.stat().st_size < 150_000


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    build = subprocess.run(
        ["make", "--no-print-directory", "docs", f"SITE={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert build.returncode == 0, build.stderr
    assert "POST /retrain" in _text_of(tmp_path / "reference" / "http-api.html")
    assert "hardneg hard-negatives" in _text_of(tmp_path / "reference" / "cli.html")


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert {line.split()[0] for line in listed.stdout.splitlines()} == _make_targets()


def _options(words: list[str]) -> list[str]:
    """Return the options among the words of a command that its help does not know."""
    path = max(
        (path for path in command_paths() if words[: len(path)] == list(path)), key=len, default=()
    )
    if not path:
        return words[:1]
    help_text = _help(path)
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    return [option for option in options if not re.search(rf"(^|[ ,/]){option}[ ,/]", help_text)]


@cache
def _help(path: tuple[str, ...]) -> str:
    return CliRunner().invoke(app, [*path, "--help"]).output


def _relative_links(page: Path) -> list[tuple[str, str]]:
    """Return (path, anchor) of each link that is not to the web; one of them may be empty."""
    text = CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    targets += re.findall(r"^\[[^]]+\]: (\S+)$", text, re.MULTILINE)
    return [
        (path, anchor)
        for path, _, anchor in (target.partition("#") for target in targets)
        if not re.match(r"[a-z]+:", path)
    ]


def _leads_somewhere(file: Path, anchor: str) -> bool:
    if not file.exists():
        return False
    return not anchor or anchor in _anchors(file.read_text(encoding="utf-8"))


def _anchors(text: str) -> set[str]:
    """Return the ids that GitHub and MyST give to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", CODE_BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _text_of(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


def _make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(phony.split()) == targets
    return targets
