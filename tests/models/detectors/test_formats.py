from pathlib import Path

import pytest

from models.detectors.checkpoint import CheckpointError
from models.detectors.formats import PluggedInFormat
from models.detectors.scoring import ScoringDetector, ScoringSpec


class BrokenFormat:
    """A plug-in that owns every file and can read none."""

    name = "broken"
    suffix = ".broken"
    is_trainable = False

    def owns(self, path: Path) -> bool:
        return True

    def read(self, path: Path) -> ScoringSpec:
        raise KeyError("spec")

    def load(self, path: Path, *, device: str, num_threads: int) -> ScoringDetector:
        raise CheckpointError("the file has no weights")


def test_failures_of_a_plug_in_are_checkpoint_errors(tmp_path: Path) -> None:
    plugged_in = PluggedInFormat(BrokenFormat())

    assert plugged_in.owns(tmp_path)
    with pytest.raises(CheckpointError, match=r"plug-in for broken files failed: KeyError: 'spec'"):
        plugged_in.read(tmp_path)
    with pytest.raises(CheckpointError, match=r"^the file has no weights$"):
        plugged_in.load(tmp_path, device="cpu", num_threads=1)
