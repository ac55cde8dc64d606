"""The serving version, with the threads that decode images and score them."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

import torch

from models.data.images import DecodeLimits, limit_decoding
from models.detectors.detector import PreparedImage
from models.inference.batch_size import CPU_BATCH
from models.inference.device import select_device
from models.inference.predict import Prediction
from service.metrics import Metrics
from service.scoring.decoders import DecodeThreads
from service.scoring.engine import ONLINE, InferenceEngine, LoadedVersion
from service.settings import Settings

CPU_ENGINE_THREADS, GPU_ENGINE_THREADS = 4, 2  # at most, unless the settings say otherwise

T = TypeVar("T")
R = TypeVar("R")


def decode_limits(settings: Settings) -> DecodeLimits:
    return DecodeLimits(
        settings.memory_budget, settings.decode_timeout_s, settings.num_decode_threads
    )


class Scorer:
    """
    The detector that serves, behind decode threads and one inference engine.

    A request reads `serving` once and passes it along with its images, so a swap never splits a
    request between two versions.

    Attributes:
        serving: the version that serves, None until one is loaded.
        loading_failure: why the last attempt to load a version failed, None after a success.
        num_engine_threads: batches that are scored side by side.
        cores_of_each: cores that each of them computes with.
        metrics: those of the process.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.serving: LoadedVersion | None = None
        self.loading_failure: str | None = None
        self.metrics = metrics
        # After this call the thread keeps its number of cores, whatever other threads set.
        cores = torch.get_num_threads()
        most = min(cores, CPU_ENGINE_THREADS)
        if select_device(settings.device).type != "cpu":
            most = GPU_ENGINE_THREADS
        self.num_engine_threads = settings.engine_threads or most
        self.cores_of_each = max(1, cores // self.num_engine_threads)
        self._engine = InferenceEngine(
            settings.batch_wait_ms / 1000, metrics, self.num_engine_threads, self.cores_of_each
        )
        self._decoders = DecodeThreads(settings.num_decode_threads)
        limit_decoding(decode_limits(settings))

    @property
    def window(self) -> int:
        """
        How many images to take in at once: a batch for each engine thread.

        This bounds the memory of uploads and rescans, which hold a few windows at a time.
        """
        return self.window_of(self.serving)

    def window_of(self, version: LoadedVersion | None) -> int:
        """Return the window for a version that need not serve, as in a worker."""
        return (version.batch_size if version else CPU_BATCH) * self.num_engine_threads

    def swap(self, version: LoadedVersion) -> None:
        """Serve another version from the next request on; earlier requests keep theirs."""
        self.serving = version
        self.loading_failure = None

    def map_decode(
        self, function: Callable[[T], R], items: Iterable[T], *, priority: int = ONLINE
    ) -> list[Future[R]]:
        """Run a function that decodes an image for each item, on the decode threads."""
        return [self._decoders.submit(function, item, priority=priority) for item in items]

    def submit(
        self,
        version: LoadedVersion,
        image: PreparedImage,
        *,
        priority: int = ONLINE,
        quick: bool = False,
        min_score: float = 0.0,
    ) -> Future[Prediction]:
        """
        Queue an image for the network; `wait_for_result` turns the future into its result.

        See `InferenceEngine.submit`, and `min_score_of` for the detections to keep.
        """
        return self._engine.submit(
            version, image, priority=priority, quick=quick, min_score=min_score
        )

    def close(self) -> None:
        """Finish everything that was submitted, then end the threads."""
        self._decoders.close()
        self._engine.close()
