"""From a stored checkpoint to a detector in memory."""

from pathlib import Path
from tempfile import TemporaryDirectory

from models.checkpoint import load_checkpoint
from models.inference import select_device
from service.blobs import BlobStore
from service.scoring.engine import LoadedVersion
from service.tables import ModelVersion


def load_version(blobs: BlobStore, version: ModelVersion, device: str | None) -> LoadedVersion:
    """Raises CheckpointError, FileNotFoundError."""
    with TemporaryDirectory(prefix="hardneg-") as folder:
        path = Path(folder) / "checkpoint.safetensors"
        blobs.copy_to_file(version.checkpoint_key, path)
        detector = load_checkpoint(path, device=str(select_device(device)))
    return LoadedVersion(version.id, version.name, detector.eval())
