"""An ONNX file as a checkpoint: one file that rebuilds its detector."""

from pathlib import Path

from models.detectors.foreign.detector import ForeignDetector
from models.detectors.foreign.errors import ForeignDetectorError
from models.detectors.foreign.model_file import (
    read_metadata,
    require_self_contained,
    write_with_entry,
)
from models.detectors.foreign.runtime import open_network
from models.detectors.foreign.spec import ForeignSpec
from models.detectors.foreign.spec_text import SPEC_KEY, parse_spec, spec_text


def save_foreign(source: Path, spec: ForeignSpec, target: Path) -> None:
    """Write an ONNX file with its spec inside; equal inputs give equal bytes."""
    write_with_entry(source, target, SPEC_KEY, spec_text(spec))


def read_foreign_spec(path: Path) -> ForeignSpec:
    """Return the spec of a file that `save_foreign` wrote. Raises ForeignDetectorError."""
    text = read_metadata(path).get(SPEC_KEY)
    if text is None:
        raise ForeignDetectorError(
            "the ONNX file has no spec of this program inside: add it as a model version first"
        )
    return parse_spec(text)


def load_foreign(path: Path, *, device: str = "cpu", num_threads: int = 1) -> ForeignDetector:
    """
    Rebuild the detector of a file that `save_foreign` wrote.

    `num_threads` compute one image or batch on the CPU. Raises ForeignDetectorError, and
    ImportError where no runtime is installed.
    """
    spec = read_foreign_spec(path)
    require_self_contained(path)
    return ForeignDetector(spec, open_network(path, device=device, num_threads=num_threads))


def is_onnx(path: Path) -> bool:
    """Return whether a file may be ONNX: its first field is then `ir_version`, a number."""
    with path.open("rb") as file:
        return file.read(1) == b"\x08"
