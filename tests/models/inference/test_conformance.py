"""The check of plug-ins, with the plug-in of the documentation and broken copies of it."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from models.detectors.formats import formats
from models.inference.conformance import CheckResult, CheckStatus, check_file
from tests.scenes import encoded

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "how-to" / "write-a-plug-in.md"
MODULE = "hardneg_template"
COMMAND = (sys.executable, "-m", "hardneg", "model", "check")

Install = Callable[..., None]
BATCH_LEAKS = "min_score + len(images) - 1) for image in images"


def plug_in_source() -> str:
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(source)


def install(folder: Path, source: str) -> None:
    """Lay out a package as pip does: its module, and metadata with its entry point."""
    (entry_points,) = re.findall(
        r'entry-points\."(.*?)"\]\n(.*?)```', PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    metadata = folder / f"{MODULE}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / f"{MODULE}.py").write_text(source, encoding="utf-8")
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {MODULE}\nVersion: 1.0\n")
    group, lines = entry_points
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{lines.replace(chr(34), '')}")


@pytest.fixture
def install_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install the documentation's plug-in into this process, with parts of it replaced."""

    def install_changed(*changes: tuple[str, str]) -> None:
        source = plug_in_source()
        for old, new in changes:
            assert old in source
            source = source.replace(old, new)
        install(tmp_path / "site", source)
        monkeypatch.syspath_prepend(tmp_path / "site")
        formats.cache_clear()

    yield install_changed
    sys.modules.pop(MODULE, None)
    formats.cache_clear()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    template = np.random.default_rng(0).random((3, 12, 16)).astype(np.float32)
    np.savez(tmp_path / "picture.npz", template=template, class_name="pattern")
    return tmp_path / "picture.npz"


@pytest.fixture
def picture(checkpoint: Path) -> bytes:
    """Draw the pattern on grey, twice as large as in the detector's input."""
    with np.load(checkpoint) as file:
        pattern = (file["template"].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    pixels = np.full((96 * 2, 128 * 2, 3), 128, dtype=np.uint8)
    pixels[40:64, 60:92] = pattern.repeat(2, axis=0).repeat(2, axis=1)
    return encoded(pixels)


def failed(results: Iterator[CheckResult]) -> set[str]:
    return {result.promise for result in results if result.status is CheckStatus.FAILED}


def test_plug_in_of_the_documentation_keeps_every_promise(
    checkpoint: Path, picture: bytes, tmp_path: Path
) -> None:
    install(tmp_path / "site", plug_in_source())
    (tmp_path / "picture.png").write_bytes(picture)

    done = subprocess.run(
        [*COMMAND, str(checkpoint), "--image", str(tmp_path / "picture.png")],
        env={"PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    statuses = [line.split()[0] for line in done.stdout.splitlines()]
    assert statuses == ["ok"] * 15
    assert "template; 1 classes: pattern; 96 x 128" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "promise"),
    [
        ('return file.read(4) == b"PK\\x03\\x04"', "return True", None),
        ('b"PK\\x03\\x04"', 'b"KP\\x03\\x04"', "one format owns the file"),
        ("0.3\n", "1.5\n", "the spec is readable without the network"),
        ("training = False", "training = True", "it loads and scores"),
        ("TemplateDetector(self.read(path)", "TemplateDetector(TemplateSpec(('x',))", "spec"),
        ("Placement((width / columns, height / rows))", "Placement((0.1, 0.1))", "prepared"),
        ("4 - 100 * distance[0, 0]", "distance[0, 0] * float('nan')", "numbers are finite"),
        ("ScoredImage(log_odds,", "ScoredImage(log_odds if count else None,", "before thresh"),
        ("ScoredImage(log_odds,", "ScoredImage(float(score),", "max_score is the highest"),
        ("max(min_score, self.spec.score_threshold)", "0.1", "thresholds hold"),
        ("[column, row,", "[column - 200, row,", "boxes lie inside"),
        ("torch.tensor([1])", "torch.tensor([0])", "labels and order"),
        ("4 - 100 *", "4 + torch.rand(1) - 100 *", "it is deterministic"),
        ("min_score) for image in images", BATCH_LEAKS, "a batch"),
    ],
)  # fmt: skip
def test_broken_promise_is_named(
    old: str,
    new: str,
    promise: str | None,
    install_here: Install,
    checkpoint: Path,
    picture: bytes,
) -> None:
    install_here((old, new))

    names = failed(check_file(checkpoint, [picture]))

    if promise is None:
        assert names == set()
    else:
        assert any(promise in name for name in names)


def test_promises_about_boxes_are_not_tried_without_a_detection(
    install_here: Install, checkpoint: Path
) -> None:
    install_here()

    results = {result.promise: result for result in check_file(checkpoint)}

    assert results["boxes lie inside"].status is CheckStatus.NOT_TRIED
    assert results["max_score comes before thresholds"].status is CheckStatus.PASSED


def test_file_that_two_formats_own_is_named(
    install_here: Install, checkpoint: Path, tmp_path: Path
) -> None:
    install_here(('return file.read(4) == b"PK\\x03\\x04"', "return True"))
    other = tmp_path / "other.onnx"
    other.write_bytes(b"\x08\x07")

    (result,) = check_file(other)

    assert result.status is CheckStatus.FAILED
    assert "onnx, template all own it" in result.detail
