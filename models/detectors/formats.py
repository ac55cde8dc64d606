"""The formats of checkpoint files, and how each becomes a detector."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from models.detectors.checkpoint import CheckpointError, load_checkpoint, read_spec
from models.detectors.foreign import file as onnx_file
from models.detectors.scoring import ScoringDetector, ScoringSpec

ENTRY_POINT_GROUP = "hardneg.detectors"


class CheckpointFormat(Protocol):
    """
    A format of checkpoint files, each of which alone rebuilds its detector.

    Attributes:
        name: of the format.
        suffix: of its files, with the dot.
        is_trainable: whether this service can train its detectors.
    """

    name: str
    suffix: str
    is_trainable: bool

    def owns(self, path: Path) -> bool:
        """Return whether a file has this format, by its first bytes."""

    def read(self, path: Path) -> ScoringSpec:
        """Return the spec inside a file. Raises CheckpointError."""

    def load(self, path: Path, *, device: str, num_threads: int) -> ScoringDetector:
        """Rebuild the detector, with `num_threads` to an image on a CPU. Raises CheckpointError."""


class SafetensorsFormat:
    """Detectors of torchvision and of this project, as safetensors files."""

    name = "safetensors"
    suffix = ".safetensors"
    is_trainable = True

    def owns(self, path: Path) -> bool:
        """Return whether JSON follows eight bytes, which give its length."""
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"

    def read(self, path: Path) -> ScoringSpec:
        return read_spec(path)

    def load(self, path: Path, *, device: str, num_threads: int) -> ScoringDetector:
        return load_checkpoint(path, device)


class OnnxFormat:
    """Detectors that others trained, as ONNX files with a spec inside."""

    name = "onnx"
    suffix = ".onnx"
    is_trainable = False

    def owns(self, path: Path) -> bool:
        return onnx_file.is_onnx(path)

    def read(self, path: Path) -> ScoringSpec:
        return onnx_file.read_foreign_spec(path)

    def load(self, path: Path, *, device: str, num_threads: int) -> ScoringDetector:
        try:
            return onnx_file.load_foreign(path, device=device, num_threads=num_threads)
        except ImportError as error:
            raise CheckpointError(str(error)) from error


class PluggedInFormat:
    """A plug-in's format, of which every failure is a CheckpointError: its code is not ours."""

    def __init__(self, plugged_in: CheckpointFormat) -> None:
        self._plugged_in = plugged_in
        self.name = plugged_in.name
        self.suffix = plugged_in.suffix
        self.is_trainable = plugged_in.is_trainable

    def owns(self, path: Path) -> bool:
        with self._failures_named():
            return self._plugged_in.owns(path)

    def read(self, path: Path) -> ScoringSpec:
        with self._failures_named():
            return self._plugged_in.read(path)

    def load(self, path: Path, *, device: str, num_threads: int) -> ScoringDetector:
        with self._failures_named():
            return self._plugged_in.load(path, device=device, num_threads=num_threads)

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"the plug-in for {self.name} files failed: {type(error).__name__}: {error}"
            ) from error


@cache
def formats() -> Sequence[CheckpointFormat]:
    """
    Return all known formats: our two, then those of plug-ins.

    A plug-in's entry point in the group `hardneg.detectors` names a class without arguments.
    """
    points = entry_points(group=ENTRY_POINT_GROUP)
    plugged_in = [PluggedInFormat(point.load()()) for point in points]
    return (SafetensorsFormat(), OnnxFormat(), *plugged_in)


def format_of(path: Path) -> CheckpointFormat:
    """Return the format of a file. Raises CheckpointError if it has none."""
    for known in formats():
        if known.owns(path):
            return known
    raise CheckpointError(
        f"the file is neither {' nor '.join(known.suffix for known in formats())} of a detector"
    )


def is_trainable(file_name: str) -> bool:
    """Return whether this service can train the detector of a file, by the file's suffix."""
    return any(known.is_trainable for known in formats() if file_name.endswith(known.suffix))
