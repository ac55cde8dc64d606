import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGES = ("hardneg", "migrations", "models", "service")


@pytest.mark.slow
def test_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", str(tmp_path), _copy_of_the_tree(tmp_path)),
        ],
        check=True,
    )

    (wheel,) = tmp_path.glob("hardneg-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == set(_tracked_files(*PACKAGES))


def test_every_direct_dependency_is_pinned_within_its_range_and_torch_is_not() -> None:
    pinned = _pinned_versions()

    for requirement in _direct_dependencies():
        name = canonicalize_name(requirement.name)
        if name in {"torch", "torchvision"}:
            assert name not in pinned
        else:
            assert pinned[name] in requirement.specifier, name


def _direct_dependencies() -> list[Requirement]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [Requirement(line) for lines in lists for line in lines]
    return [requirement for requirement in requirements if requirement.name != "hardneg"]


def _pinned_versions() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def _tracked_files(*paths: str) -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", *paths], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listing.stdout.split("\0")[:-1]


def _copy_of_the_tree(directory: Path) -> str:
    """Setuptools leaves a build folder beside its sources, and takes old files up from it."""
    copy = directory / "tree"
    for name in _tracked_files("pyproject.toml", "README.md", "LICENSE", *PACKAGES):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    return str(copy)
