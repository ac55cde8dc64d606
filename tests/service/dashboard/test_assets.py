"""The dashboard's files, and the copies of other projects' files."""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from dashboard_tools.vendor import LOCKS
from service.dashboard.assets import FOLDER, asset_url

SCRIPTS = sorted((FOLDER / "js").glob("*.js"))
PLAIN_LICENCES = {"MIT", "ISC", "BSD-3-Clause", "Apache-2.0"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_module_imports_files_that_exist_and_is_type_checked(script: Path) -> None:
    text = script.read_text(encoding="utf-8")

    assert text.startswith("// @ts-check\n")
    for name in re.findall(r'from "([^"]+)"', text):
        assert (script.parent / name).is_file()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.parent.parent.name))
def test_copies_are_those_that_the_lock_describes(lock: Path) -> None:
    packages = json.loads(lock.read_text(encoding="utf-8"))

    locked = {file["path"]: file["sha256"] for package in packages for file in package["files"]}
    found = {
        str(path.relative_to(lock.parent)): sha256(path.read_bytes()).hexdigest()
        for path in lock.parent.rglob("*")
        if path.is_file() and path != lock
    }
    assert locked == found
    assert all(f"{path.split('/')[0]}/LICENSE" in locked for path in locked)


def test_served_copies_have_plain_licences() -> None:
    packages = json.loads((FOLDER / "vendor" / "lock.json").read_text(encoding="utf-8"))

    assert {package["licence"] for package in packages} <= PLAIN_LICENCES


def test_template_cannot_name_a_file_that_is_missing() -> None:
    with pytest.raises(FileNotFoundError):
        asset_url("js/no-such-file.js")
