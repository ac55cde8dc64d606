"""Bytes in, predictions out, by the version that serves: decode threads before one engine."""

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TypeVar

import structlog
import torch
from prometheus_client import CollectorRegistry

from models.detectors.detector import PreparedImage
from models.inference.batch_size import CPU_BATCH
from models.inference.device import select_device
from models.inference.predict import Prediction
from service.scoring.decoders import DecodeThreads
from service.scoring.engine import ONLINE, RESCAN, Engine, LoadedVersion
from service.scoring.store import Failure
from service.settings import Settings

CPU_ENGINE_THREADS, GPU_ENGINE_THREADS = 4, 2  # at most, where the settings do not say

log = structlog.get_logger()

T = TypeVar("T")
R = TypeVar("R")


class Scorer:
    """
    The detector that serves, and the way to it.

    `serving` is read once by each request and passed along with its images: a swap between two
    batches never splits a request between two versions.

    Attributes:
        num_engine_threads: batches that are scored side by side.
        cores_of_each: cores that each of them computes with.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self.serving: LoadedVersion | None = None
        self.loading_failure: str | None = None
        cores = torch.get_num_threads()  # asked here, this thread keeps them, whatever others set
        most = min(cores, CPU_ENGINE_THREADS)
        if select_device(settings.device).type != "cpu":
            most = GPU_ENGINE_THREADS
        self.num_engine_threads = settings.engine_threads or most
        self.cores_of_each = max(1, cores // self.num_engine_threads)
        self._engine = Engine(
            settings.batch_wait_ms / 1000, registry, self.num_engine_threads, self.cores_of_each
        )
        self._detection_floor = settings.detection_floor
        self._decoders = DecodeThreads(settings.decode_threads)

    @property
    def window(self) -> int:
        """How many images are worth taking up at once: a batch for each thread. Bounds memory."""
        return self.window_of(self.serving)

    def window_of(self, version: LoadedVersion | None) -> int:
        """The same where another version than the serving one scores, as in a worker."""
        return (version.batch_size if version else CPU_BATCH) * self.num_engine_threads

    def swap(self, version: LoadedVersion) -> None:
        """Serve another version from the next request on; work under way keeps its own."""
        self.serving = version
        self.loading_failure = None

    def map_decode(
        self, function: Callable[[T], R], items: Iterable[T], *, rescan: bool = False
    ) -> list[Future[R]]:
        """Run a function that decodes images on the decode threads."""
        priority = RESCAN if rescan else ONLINE
        return [self._decoders.submit(function, item, priority=priority) for item in items]

    def submit(
        self,
        version: LoadedVersion,
        images: Sequence[PreparedImage],
        *,
        splits: Sequence[str] | None = None,
        rescan: bool = False,
        quick: bool = False,
    ) -> list[Future[Prediction]]:
        """
        Without waiting; `outcome_of` each is what became of the image.

        Images whose split is `pool` get the detections above the floor of the settings, all others
        those above the detector's threshold.
        """
        priority = RESCAN if rescan else ONLINE
        floor_of = {"pool": self._detection_floor}
        return [
            self._engine.submit(
                version,
                image,
                priority=priority,
                quick=quick,
                min_score=floor_of.get(split, 0.0),
            )
            for image, split in zip(images, splits or [""] * len(images), strict=True)
        ]

    def score(
        self,
        version: LoadedVersion,
        images: Sequence[PreparedImage],
        splits: Sequence[str] | None = None,
    ) -> list[Prediction | Failure]:
        """One prediction for each image that a client waits for, or why it has none."""
        return [outcome_of(future) for future in self.submit(version, images, splits=splits)]

    def close(self) -> None:
        """Return when all that was submitted is done."""
        self._decoders.close()
        self._engine.close()


def outcome_of(future: Future[Prediction]) -> Prediction | Failure:
    """Waits for it; the reason where there is no prediction."""
    error = future.exception()
    if error is not None:
        log.error("scoring failed", exc_info=error)
        reason = f"the detector failed on this image, it will be tried again: {error!r:.200}"
        return Failure(reason, may_pass=True)
    prediction = future.result()
    if not _is_finite(prediction):
        return Failure("the detector gave a score or a box that is not a finite number")
    return prediction


def _is_finite(prediction: Prediction) -> bool:
    numbers = [x for x in (prediction.max_score, prediction.log_odds) if x is not None]
    found = prediction.detections
    return (
        all(math.isfinite(x) for x in numbers)
        and bool(found.scores.isfinite().all())
        and bool(found.boxes.isfinite().all())
    )
