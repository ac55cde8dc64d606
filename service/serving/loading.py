"""Detectors in memory, loaded from stored checkpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
import torch
from sqlalchemy.orm import Session

from models.detectors import Detector
from models.detectors.checkpoint import load_checkpoint
from models.detectors.formats import format_of
from models.inference.batch_size import CPU_BATCH, choose_batch_size
from models.inference.compiled import compile_dense
from models.inference.device import select_device
from models.inference.fused import fuse
from models.inference.streams import settle
from service.blobs import BlobStore
from service.db import Sessions
from service.scoring import margins, store
from service.scoring.engine import LoadedVersion
from service.scoring.resources import Resources
from service.scoring.screen import MIN_SOURCE_SIZE, Screen, has_bfloat16, make_screen
from service.scoring.splits import RANKED_SPLIT
from service.settings import Settings
from service.tables import ModelVersion

log = structlog.get_logger()


def load_detector(blobs: BlobStore, version: ModelVersion, device: str | None) -> Detector:
    """Load a detector as it was saved. Raises CheckpointError, FileNotFoundError."""
    with _checkpoint_file(blobs, version) as path:
        return load_checkpoint(path, device=str(select_device(device)))


def load_version(resources: Resources, version: ModelVersion) -> LoadedVersion:
    """Load a version for this scorer, with its screen. Raises as `load_detector` does."""
    settings, scorer = resources.settings, resources.scorer
    with _checkpoint_file(resources.blobs, version) as path:
        detector = format_of(path).load(
            path, device=str(select_device(settings.device)), num_threads=scorer.cores_of_each
        )
    if not isinstance(detector, Detector):
        batch_size = settings.batch_size or CPU_BATCH
        return LoadedVersion(version.id, version.name, detector, batch_size=batch_size)
    return _load_screened(resources, version, fuse(detector))


def _load_screened(
    resources: Resources, version: ModelVersion, detector: Detector
) -> LoadedVersion:
    settings, scorer = resources.settings, resources.scorer
    screen = None
    if settings.backend != "eager":
        with _threads_of_torch(scorer.cores_of_each):
            screen = make_screen(detector, version.name)
    if screen is not None:
        _add_known_measurements(screen, version, resources.read_sessions)
    batch_size = settings.batch_size or choose_batch_size(detector)
    settle(detector.device)  # because it scores in another stream
    return LoadedVersion(version.id, version.name, detector, screen, batch_size)


def is_worth_compiling(settings: Settings, session: Session) -> bool:
    """Return whether the settings want OpenVINO and the pool is large enough to be screened."""
    return (
        settings.backend == "openvino"
        and store.count_images(session, RANKED_SPLIT) >= MIN_SOURCE_SIZE
    )


def compile_version(
    resources: Resources, loaded: LoadedVersion, version: ModelVersion
) -> LoadedVersion:
    """
    Return the same version with a screen that OpenVINO has compiled, or `loaded` without a gain.

    This takes some seconds; other threads may score with `loaded` meanwhile. Raises as
    `load_detector` does.
    """
    scorer, device = resources.scorer, loaded.detector.device
    if not isinstance(loaded.detector, Detector):
        return loaded
    if device.type != "cpu" or not has_bfloat16(device):
        log.info("backend refused: it needs a CPU with bfloat16", backend="openvino")
        return loaded
    detector = load_detector(resources.blobs, version, "cpu").eval()
    cores = scorer.num_engine_threads * scorer.cores_of_each
    try:
        dense = compile_dense(detector, num_streams=scorer.num_engine_threads, num_threads=cores)
        with _threads_of_torch(scorer.cores_of_each):
            screen = make_screen(
                loaded.detector,
                version.name,
                dense=dense,
                compiler=f"OpenVINO {metadata.version('openvino')}",
            )
    except Exception as error:  # scoring goes on with the screen of `loaded`, or without one
        log.error("backend refused: it failed", backend="openvino", exc_info=error)
        return loaded
    if screen is None:
        return loaded
    _add_known_measurements(screen, version, resources.read_sessions)
    return replace(loaded, screen=screen)


@contextmanager
def _checkpoint_file(blobs: BlobStore, version: ModelVersion) -> Iterator[Path]:
    """Copy a version's checkpoint to a file for a while. Raises FileNotFoundError."""
    with TemporaryDirectory(prefix="hardneg-") as folder:
        path = Path(folder) / "checkpoint"
        blobs.copy_to_file(version.checkpoint_key, path)
        yield path


@contextmanager
def _threads_of_torch(count: int) -> Iterator[None]:
    """Compute with as many threads as a batch has when others are scored beside it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _add_known_measurements(screen: Screen, version: ModelVersion, read_sessions: Sessions) -> None:
    with read_sessions.begin() as session:
        known = margins.find_screen_margin(session, version.id, screen.computed_by)
    if known is not None:
        screen.add_measurements(known.num_images, known.largest_error)
