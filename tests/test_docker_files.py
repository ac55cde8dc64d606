"""No Docker engine is needed: the files are read, linted and held against the compose schema."""

import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from service.settings import Settings
from supply_chain.lock import UNLOCKED, locked_names, pinned

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sysconfig.get_path("scripts"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
COMPOSE_FILES = ("docker-compose.yml", "docker-compose.gpu.yml")


def test_hadolint_has_nothing_to_say() -> None:
    result = _run("hadolint", "Dockerfile")

    assert result.stdout == ""
    assert result.returncode == 0


@pytest.mark.parametrize("file", COMPOSE_FILES)
def test_compose_file_fits_the_compose_schema(file: str) -> None:
    result = _run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)

    assert result.returncode == 0, result.stdout


def test_every_container_is_locked_down() -> None:
    for name, service in _compose_services("docker-compose.yml").items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "/tmp" in service["tmpfs"], name
        assert "privileged" not in service, name


def test_lock_has_all_that_the_image_needs_in_the_versions_of_the_checks() -> None:
    packages = re.findall(r"^(\S+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", LOCK, re.M)
    locked = {name: version for name, version, _ in packages}
    known = pinned()

    assert locked == {name: known[name] for name in locked_names()}
    assert LOCK.count("==") == len(locked)
    assert set(re.findall(r"^(\S+)==\d[\d.]+$", _read("requirements-torch.txt"), re.M)) == UNLOCKED


def test_image_runs_as_a_numbered_user_other_than_root() -> None:
    users = re.findall(r"^USER (\S+)$", _read("Dockerfile"), re.MULTILINE)

    assert users == ["10001:10001"]


def test_only_the_api_is_published_and_on_loopback() -> None:
    services = _compose_services("docker-compose.yml")

    published = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert published == {"api": ["127.0.0.1:${HARDNEG_PORT:-8000}:8000"]}


def test_api_does_not_start_without_a_key() -> None:
    environment = _compose_services("docker-compose.yml")["api"]["environment"]

    assert environment["HARDNEG_API_KEY"].startswith("${HARDNEG_API_KEY:?")


@pytest.mark.parametrize("file", ["Dockerfile", *COMPOSE_FILES])
def test_every_setting_that_a_file_sets_exists(file: str) -> None:
    known = {f"HARDNEG_{name.upper()}" for name in Settings.model_fields}

    assert set(re.findall(r"\bHARDNEG_[A-Z_]+\b", _read(file))) <= known


def test_api_leaves_jobs_to_the_worker() -> None:
    services = _compose_services("docker-compose.yml")

    assert services["api"]["environment"]["HARDNEG_EMBEDDED_WORKER"] == "false"
    assert services["worker"]["command"] == ["worker"]


def test_services_share_one_volume_and_one_database() -> None:
    services = _compose_services("docker-compose.yml")

    for name in ("api", "worker", "scanner"):
        assert services[name]["volumes"] == ["data:/data"]
        assert "@postgres:5432/hardneg" in services[name]["environment"]["HARDNEG_DATABASE_URL"]
        assert services[name]["depends_on"]["postgres"] == {"condition": "service_healthy"}


def test_scanners_are_started_by_their_number_alone() -> None:
    scanner = _compose_services("docker-compose.yml")["scanner"]

    assert scanner["command"] == ["worker", "--lanes", "scan"]
    assert scanner["scale"] == 0
    assert not {"container_name", "ports"} & set(scanner)  # two could not share them


def test_gpu_file_only_adds_to_services_that_exist() -> None:
    gpu = _compose_services("docker-compose.gpu.yml")

    assert set(gpu) == {"api", "worker", "scanner"} <= set(_compose_services("docker-compose.yml"))


def test_image_holds_every_package_and_nothing_is_ignored_that_it_copies() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        pyproject = tomllib.load(file)
    packages = {
        pattern.rstrip("*")
        for pattern in pyproject["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    let_through = {line[1:] for line in _read(".dockerignore").splitlines() if line.startswith("!")}
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--)(.*) \S+$", _read("Dockerfile"), re.MULTILINE)
        for source in sources.split()
    }

    assert packages <= copied
    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)


def _read(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def _compose_services(file: str) -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = YAML(typ="safe").load(_read(file))["services"]
    return services
