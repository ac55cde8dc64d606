"""The names of the code follow docs/glossary.md, as far as that can be checked simply."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("hardneg", "service", "models")
PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| word ", "| --- "))
]

# Names that two classes may share, with the reason.
SHARED_NAMES: dict[str, str] = {}

# Old words; no name in the code holds them. The values say what is said instead.
OLD_WORDS = {
    "trunk": "backbone",
    "prior": "anchor",
    "may_pass": "is_transient",
    "passing_errors": "TRANSIENT_ERRORS",
    "start_version": "parent_version",
}
OLD_CLASSES = {
    "Outcome": "ScoreResult or IngestedFile",
    "Window": "an upload batch or a rescan window",
    "Kind": "BatchKey or JobKind",
    "Engine": "InferenceEngine",
}
# Where an old word must stay: names of columns, and fields that are read for one release.
KEPT_NAMES = {
    "trunk": "stands in the keys of stored checkpoints",
    "trunk_rate_factor": "read beside backbone_rate_factor until 0.3",
    "start_version_id": "answered beside parent_version_id until 0.3",
}


def test_no_two_classes_share_a_name() -> None:
    places = defaultdict(list)
    for path, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(str(path))

    shared = {name: files for name, files in places.items() if len(files) > 1}

    assert {name: files for name, files in shared.items() if name not in SHARED_NAMES} == {}
    assert SHARED_NAMES.keys() <= shared.keys(), "a name that is no longer shared is still listed"


@pytest.mark.parametrize("word", OLD_WORDS)
def test_no_name_in_the_code_holds_an_old_word(word: str) -> None:
    pattern = re.compile(rf"(?:^|_){word}s?(?:_|$)")

    found = {
        f"{path}: {name}"
        for path, tree in _modules()
        for name in _names(tree)
        if pattern.search(_snake_case(name)) and name not in KEPT_NAMES
    }

    assert sorted(found) == [], f"say {OLD_WORDS[word]}"


@pytest.mark.parametrize("name", OLD_CLASSES)
def test_no_class_has_an_old_name(name: str) -> None:
    found = [
        str(path)
        for path, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name.lstrip("_") == name
    ]

    assert found == [], f"say {OLD_CLASSES[name]}"


def test_every_word_stands_once() -> None:
    words = [word for cells in ROWS for word in cells[0].split(", ")]

    assert [word for word in words if words.count(word) > 1] == []


def test_every_file_that_the_glossary_names_exists() -> None:
    named = re.findall(r"`((?:hardneg|service|models)/[\w/]+(?:\.py|/))`", PAGE)

    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    "word", [row[0] for row in ROWS if re.fullmatch(r"[A-Z][a-z]+[A-Z]\w+", row[0])]
)
def test_class_that_the_glossary_names_exists(word: str) -> None:
    assert any(word in set(_names(tree)) for _, tree in _modules())


@cache
def _modules() -> list[tuple[Path, ast.Module]]:
    return [
        (path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8")))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def _names(tree: ast.Module) -> Iterator[str]:
    """Yield what the module defines: classes, functions, arguments, variables and attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AsyncFunctionDef(name=name):
                yield name
            case ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
