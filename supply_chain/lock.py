"""
Writes `requirements.lock`: what the image installs, with the versions of `constraints.txt`.

    python -m supply_chain.lock    # needs the package index, and an environment with all of it

Each package has the digests of its files for both processors that the image is built for. torch and
torchvision are left out: their CPU and CUDA builds have the same version and come from different
indexes, so no list of digests fits both. `requirements-torch.txt` pins these two exactly.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.metadata import requires, version
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
TORCH = ROOT / "requirements-torch.txt"
UNLOCKED = frozenset({"torch", "torchvision"})
EXTRAS = ("oidc", "onnx")  # of the image
# What torch brings for GPUs has versions that torch itself names.
OF_GPUS = ("nvidia-", "cuda-", "triton")
MACHINES = ("x86_64", "aarch64")
GLIBC = ("manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_27", "manylinux_2_26",
         "manylinux_2_24", "manylinux_2_17", "manylinux2014")  # fmt: skip
PYTHON = "3.11"
HEAD = """\
# What the image installs, beside torch and torchvision. Made by `make lock`; do not edit.
"""


def locked_names() -> set[str]:
    """Return the names of all that the image needs besides what is left out, in plain form."""
    found: set[str] = set()
    waiting = _of_the_image()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name.startswith(OF_GPUS):
            continue
        extras = {"", *requirement.extras}
        marked = f"{name}[{','.join(sorted(extras))}]"
        if marked in found:
            continue
        found.add(marked)
        waiting += _needed(name, extras)
    names = {marked.partition("[")[0] for marked in found}
    return names - UNLOCKED


def _of_the_image() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    of_extras = (project["optional-dependencies"][extra] for extra in EXTRAS)
    return [Requirement(text) for text in chain(project["dependencies"], *of_extras)]


def pinned() -> dict[str, str]:
    """Return the versions of `constraints.txt` by name in plain form."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, version in pins}


def _needed(name: str, extras: set[str]) -> Iterator[Requirement]:
    for text in requires(name) or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def _digests(pins: Mapping[str, str]) -> dict[str, set[str]]:
    """Ask pip for the files that it would install on each processor."""
    found: dict[str, set[str]] = defaultdict(set)
    for machine in MACHINES:
        with tempfile.TemporaryDirectory() as folder:
            report, wanted = Path(folder, "report.json"), Path(folder, "wanted.txt")
            wanted.write_text("\n".join(f"{name}=={pins[name]}" for name in pins))
            platforms = [f"--platform={glibc}_{machine}" for glibc in GLIBC]
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps",
                 "--ignore-installed", "--only-binary=:all:", f"--python-version={PYTHON}",
                 *platforms, f"--target={folder}/target", f"--report={report}",
                 f"--requirement={wanted}"],
                check=True,
            )  # fmt: skip
            for item in json.loads(report.read_text())["install"]:
                name = canonicalize_name(item["metadata"]["name"])
                found[name].add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    return found


def write() -> None:
    pins = {name: pinned()[name] for name in sorted(locked_names())}
    digests = _digests(pins)
    lines = [HEAD]
    for name, pin in pins.items():
        hashes = [f"    --hash=sha256:{digest}" for digest in sorted(digests[name])]
        lines.append(" \\\n".join([f"{name}=={pin}", *hashes]) + "\n")
    LOCK.write_text("".join(lines), encoding="utf-8")
    exact = [f"{name}=={version(name).partition('+')[0]}\n" for name in sorted(UNLOCKED)]
    TORCH.write_text("".join(exact), encoding="utf-8")


if __name__ == "__main__":
    write()
