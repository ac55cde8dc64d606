"""
Renew the packages of npm that the service and its tests hold copies of.

`python -m dashboard_tools.vendor` takes the newest version of each package in each lock file,
copies the files that the lock names, and writes versions, licences and digests down. npm checks
the integrity of what it downloads.
"""

import json
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).parents[1]
LOCKS = (
    ROOT / "service" / "dashboard" / "static" / "vendor" / "lock.json",
    ROOT / "tests" / "service" / "dashboard" / "vendor" / "lock.json",
)


class LockedFile(TypedDict):
    """One copied file: its path beside the lock, its path in the package, and its digest."""

    path: str
    origin: str
    sha256: str


class LockedPackage(TypedDict):
    """One package of npm; `integrity` is npm's digest of the whole package."""

    name: str
    version: str
    licence: str
    integrity: str
    files: list[LockedFile]


def read_lock(lock: Path) -> list[LockedPackage]:
    packages: list[LockedPackage] = json.loads(lock.read_text(encoding="utf-8"))
    return packages


def renew(lock: Path) -> None:
    """Take the newest version of each package that a lock names, and write the lock anew."""
    renewed = [_renew(package, lock.parent) for package in read_lock(lock)]
    lock.write_text(json.dumps(renewed, indent=2) + "\n", encoding="utf-8")
    for package in renewed:
        print(f"{package['name']} {package['version']} ({package['licence']})")


def _renew(package: LockedPackage, folder: Path) -> LockedPackage:
    with tempfile.TemporaryDirectory() as scratch:
        (packed,) = json.loads(_npm("pack", package["name"], "--json", folder=scratch))
        with tarfile.open(Path(scratch) / packed["filename"]) as archive:
            files = [_copy(archive, file, folder) for file in package["files"]]
            description = json.loads(_read(archive, "package.json"))
    return LockedPackage(
        name=package["name"],
        version=packed["version"],
        licence=description["license"],
        integrity=packed["integrity"],
        files=files,
    )


def _copy(archive: tarfile.TarFile, file: LockedFile, folder: Path) -> LockedFile:
    content = _read(archive, file["origin"])
    path = folder / file["path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return LockedFile(path=file["path"], origin=file["origin"], sha256=sha256(content).hexdigest())


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(f"package/{name}")
    if member is None:
        raise ValueError(f"{name} is not a file of the package")
    with member:
        return member.read()


def _npm(*arguments: str, folder: str) -> str:
    command: Sequence[str] = ("npm", *arguments)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    for lock in LOCKS:
        renew(lock)
