import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hardneg.cli.app import app
from hardneg.client import server_url
from hardneg.demo.server_process import free_port

README = Path(__file__).parents[2] / "README.md"
COMMANDS = [
    ["serve"],
    ["worker"],
    ["db", "upgrade"],
    ["backup"],
    ["restore"],
    ["fsck"],
    ["keys", "create"],
    ["keys", "list"],
    ["keys", "revoke"],
    ["model", "add"],
    ["model", "list"],
    ["model", "activate"],
    ["import"],
    ["hard-negatives"],
    ["families"],
    ["scan"],
    ["export"],
    ["freeze"],
    ["mine"],
    ["demo"],
]
HEAVY = {"alembic", "fastapi", "httpx", "numpy", "PIL", "pydantic", "rich", "sqlalchemy", "torch"}

run = CliRunner().invoke


def test_help_lists_every_command_without_loading_heavy_packages() -> None:
    code = (
        "import sys; sys.argv = ['hardneg', '--help']\n"
        "from hardneg.cli.app import main\n"
        "try: main()\n"
        "finally: print('loaded', *sys.modules)"
    )

    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    shown, loaded = output.split("loaded ")
    assert HEAVY & set(loaded.split()) == set()
    assert {words[0] for words in COMMANDS} <= set(shown.split())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_shows_an_example(command: list[str]) -> None:
    output = run(app, [*command, "--help"]).output

    assert "Example" in output
    assert f"hardneg {' '.join(command)}" in output


def test_version_is_printed() -> None:
    result = run(app, ["--version"])

    assert result.exit_code == 0
    assert result.output.startswith("hardneg")


@pytest.mark.parametrize(
    "command",
    [["model", "list"], ["hard-negatives"], ["mine"], ["import", "."], ["model", "activate", "v1"]],
    ids=" ".join,
)
def test_missing_server_is_reported_in_one_sentence(command: list[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    result = run(app, [*command, "--url", url])

    assert result.exit_code == 1
    assert result.stderr.startswith(f"hardneg: no service answers at {url}: start one with")
    assert len(result.stderr.splitlines()) == 1


def test_address_without_http_is_reported_in_one_sentence() -> None:
    result = run(app, ["model", "list", "--url", "ftp://nowhere"])

    assert result.exit_code == 1
    assert result.stderr.startswith("hardneg: ")
    assert len(result.stderr.splitlines()) == 1


def test_wrong_setting_is_reported_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDNEG_PORT", "many")

    result = run(app, ["model", "list"])

    assert result.exit_code == 1
    assert result.stderr.startswith("hardneg: HARDNEG_PORT: ")


def test_worker_of_an_unknown_lane_names_the_lanes() -> None:
    result = run(app, ["worker", "--lanes", "scan,trian"])

    assert result.exit_code == 1
    assert result.stderr.startswith("hardneg: there is no lane 'trian': the lanes are ")
    assert "scan" in result.stderr


def test_address_of_the_service_comes_from_hardneg_url(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("HARDNEG_URL", url)
    monkeypatch.setenv("HARDNEG_PORT", "1")

    result = run(app, ["model", "list"])

    assert result.stderr.startswith(f"hardneg: no service answers at {url}:")


def test_address_of_the_service_comes_from_host_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("HARDNEG_HOST", "0.0.0.0")
    monkeypatch.setenv("HARDNEG_PORT", str(port))

    result = run(app, ["model", "list"])

    assert result.stderr.startswith(f"hardneg: no service answers at http://127.0.0.1:{port}:")


def test_service_reports_misspelt_variables_but_none_of_the_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARDNEG_URL", "http://gpu-box:8000")
    monkeypatch.setenv("HARDNEG_PROT", "8001")

    result = run(app, ["db", "upgrade", "--data-dir", str(tmp_path / "data")])

    assert result.stderr == (
        "hardneg: no setting is called HARDNEG_PROT, did you mean HARDNEG_PORT?\n"
    )


def test_options_of_serve_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDNEG_HOST", "127.0.0.1")

    result = run(app, ["serve", "--host", "192.0.2.1"])

    assert result.exit_code == 1
    assert "a key is required to listen on 192.0.2.1" in result.stderr


def test_adding_a_version_needs_a_file_or_an_architecture() -> None:
    neither = run(app, ["model", "add"])
    both = run(app, ["model", "add", "a.safetensors", "--architecture", "ssd_small"])

    assert neither.exit_code == both.exit_code == 1
    assert neither.stderr == both.stderr
    assert "either a checkpoint FILE or --architecture" in both.stderr


def test_import_of_a_missing_folder_fails(tmp_path: Path) -> None:
    result = run(app, ["import", str(tmp_path / "missing")])

    assert result.exit_code == 1
    assert result.stderr == f"hardneg: {tmp_path / 'missing'} is not a folder\n"


def test_db_upgrade_makes_the_embedded_database(tmp_path: Path) -> None:
    first = run(app, ["db", "upgrade", "--data-dir", str(tmp_path / "data")])
    again = run(app, ["db", "upgrade", "--data-dir", str(tmp_path / "data")])

    assert (first.exit_code, again.exit_code) == (0, 0)
    assert (tmp_path / "data" / "hardneg.sqlite3").stat().st_size > 0


def test_db_upgrade_reports_a_missing_database_in_one_sentence() -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"

    result = run(app, ["db", "upgrade", "--database-url", url])

    assert result.exit_code == 1
    assert result.stderr.startswith("hardneg: the database does not answer: ")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("example.org", "http://example.org:8000"),
    ],
)
def test_server_url_is_the_address_on_the_same_machine(host: str, url: str) -> None:
    assert server_url(host, 8000) == url


def test_readme_uses_only_commands_and_options_of_the_help() -> None:
    code = "".join(README.read_text(encoding="utf-8").split("```")[1::2])
    lines = re.findall(r"^hardneg .*$", code, re.MULTILINE)

    assert len(lines) >= 4
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        (command,) = [known for known in COMMANDS if words[: len(known)] == known]
        help_text = run(app, [*command, "--help"]).output
        options = [word for word in words if word.startswith("-")]
        assert [
            option
            for option in options
            if not re.search(rf"(^|[ ,]){option}[ ,]", help_text, re.MULTILINE)
        ] == [], line
