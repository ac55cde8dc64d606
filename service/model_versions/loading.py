"""From a stored checkpoint to a detector in memory."""

from pathlib import Path
from tempfile import TemporaryDirectory

from models.batch_size import choose_batch_size
from models.checkpoint import load_checkpoint
from models.detectors import Detector
from models.detectors.fused import fuse
from models.inference import select_device
from models.streams import settle
from service.blobs import BlobStore
from service.db import Sessions
from service.scoring import store
from service.scoring.engine import LoadedVersion
from service.scoring.screen import computed_by, make_screen
from service.settings import Settings
from service.tables import ModelVersion


def load_detector(blobs: BlobStore, version: ModelVersion, device: str | None) -> Detector:
    """As it was saved, to train on from there. Raises CheckpointError, FileNotFoundError."""
    with TemporaryDirectory(prefix="hardneg-") as folder:
        path = Path(folder) / "checkpoint.safetensors"
        blobs.copy_to_file(version.checkpoint_key, path)
        return load_checkpoint(path, device=str(select_device(device)))


def load_version(
    blobs: BlobStore, version: ModelVersion, settings: Settings, read_sessions: Sessions
) -> LoadedVersion:
    """To score with; raises as `load_detector` does."""
    detector = fuse(load_detector(blobs, version, settings.device))
    screen = make_screen(settings.backend, detector, version.name)
    if screen is not None:
        with read_sessions.begin() as session:
            known = store.find_screen_margin(session, version.id, computed_by(detector.device))
        if known is not None:
            screen.remember(known.num_images, known.largest_error)
    batch_size = settings.batch_size or choose_batch_size(detector)
    settle(detector.device)  # it will score in another stream
    return LoadedVersion(version.id, version.name, detector, screen, batch_size)
