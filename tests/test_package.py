import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("migrations", "models", "service")


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
