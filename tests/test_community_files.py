"""Files that forges and editors read: held against their schemas, or against each other."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
FORMS = sorted(
    form for form in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if form.stem != "config"
)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_issue_form_fits_the_schema(form: Path) -> None:
    result = _check_schema("vendor.github-issue-forms", form)

    assert result.returncode == 0, result.stdout


def test_issue_config_fits_the_schema() -> None:
    config = ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"

    result = _check_schema("vendor.github-issue-config", config)

    assert result.returncode == 0, result.stdout


def test_pre_commit_runs_what_make_lint_and_make_types_run() -> None:
    config = YAML(typ="safe").load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = re.findall(r"^(?:lint|types):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)

    commands = {hook["entry"].removeprefix(".venv/bin/") for hook in config["repos"][0]["hooks"]}

    called = re.findall(r"\$\(BIN\)/(.+?)(?: \.)?$", "".join(lint), re.MULTILINE)
    assert commands == set(called)


def _check_schema(schema: str, file: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sysconfig.get_path("scripts")) / "check-jsonschema"
    return subprocess.run(
        [program, "--builtin-schema", schema, file], capture_output=True, text=True, check=False
    )
