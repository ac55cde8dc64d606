"""Micro-batches of prepared images through the detectors of model versions."""

import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Thread

import structlog
import torch

from models.detectors.detector import PreparedImage
from models.detectors.scoring import ScoringDetector
from models.inference.batch_size import CPU_BATCH
from models.inference.predict import Prediction, predict
from models.inference.streams import own_stream
from service.metrics import Metrics
from service.scoring.screen import Screen

ONLINE, RESCAN = 0, 1  # priorities; the lower one goes first

# For so many seconds after the last upload, rescans use small batches: the next upload then waits
# for a small part of a forward pass at most.
RECENT_S = 1.0
SMALL_BATCHES = 8  # to a full one

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """
    A model version whose detector is in memory, on its device, in evaluation mode.

    Attributes:
        screen: makes quick scores; None where all scores are exact.
        batch_size: images in one forward pass at most.
    """

    id: int
    name: str
    detector: ScoringDetector
    screen: Screen | None = None
    batch_size: int = CPU_BATCH


@dataclass(frozen=True, slots=True)
class BatchKey:
    """
    The properties that all images of one batch share.

    The priority is one of them: a rescan must not fill up a batch that a client waits for.
    """

    version: LoadedVersion
    priority: int
    quick: bool
    min_score: float

    def predict(self, images: Sequence[PreparedImage]) -> list[Prediction]:
        detector, screen = self.version.detector, self.version.screen
        dense = screen.dense if screen is not None and self.quick else None
        with own_stream(detector.device):
            return predict(
                detector, images, in_bfloat16=self.quick, dense=dense, min_score=self.min_score
            )


@dataclass(slots=True)
class QueuedImage:
    """An image that waits for a forward pass."""

    key: BatchKey
    image: PreparedImage
    result: Future[Prediction]


class InferenceEngine:
    """
    The threads that own the forward pass; each computes batches of its own.

    On the CPU the threads share out the cores. A single thread with all cores would wait at every
    layer for the core that decodes an image meanwhile. On a GPU each thread has its own stream, so
    copies of one run beside the forward passes of another.

    Each image names its version when it is submitted. So all images of a request are scored by the
    version that served when the request came, even if another one is swapped in meanwhile.
    """

    def __init__(
        self,
        batch_wait_s: float,
        metrics: Metrics,
        num_threads: int = 1,
        cores_of_each: int = 1,
    ) -> None:
        self._cores_of_each = cores_of_each
        self._batch_wait_s = batch_wait_s
        self._queues: dict[int, deque[QueuedImage]] = {ONLINE: deque(), RESCAN: deque()}
        self._changed = Condition()
        self._is_closed = False
        self._online_at = -math.inf
        self._batch_sizes = metrics.batch_images
        self._scored = metrics.scored_images
        self._waiting = {
            ONLINE: metrics.waiting_images.labels("upload"),
            RESCAN: metrics.waiting_images.labels("rescan"),
        }
        self._threads = [
            Thread(target=self._run, name=f"engine-{number}", daemon=True)
            for number in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        version: LoadedVersion,
        image: PreparedImage,
        *,
        priority: int,
        quick: bool = False,
        min_score: float = 0.0,
    ) -> Future[Prediction]:
        """
        Queue an image, and return a future of its prediction; see `predict` for `min_score`.

        A future that is cancelled before its batch begins is never scored. `quick` asks for the
        screen's score. Raises RuntimeError once the engine is closed.
        """
        queued = QueuedImage(BatchKey(version, priority, quick, min_score), image, Future())
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the engine is closed")
            if priority == ONLINE:
                self._online_at = time.monotonic()
            self._queues[priority].append(queued)
            self._waiting[priority].inc()
            self._changed.notify_all()
        return queued.result

    def close(self) -> None:
        """Score everything that is queued, then end the threads."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        torch.set_num_threads(self._cores_of_each)
        while taken := self._next_batch():
            batch = [queued for queued in taken if queued.result.set_running_or_notify_cancel()]
            if batch:
                self._batch_sizes.observe(len(batch))
                self._score(batch)
            del taken, batch  # this thread must not hold images while it waits for the next ones

    def _next_batch(self) -> list[QueuedImage]:
        """
        Wait for an image, and return up to a batch of images with the same key.

        An incomplete batch waits for more only as long as the batch wait, and only while nothing
        else is queued. Return an empty list once the engine is closed and its queues are empty.
        """
        with self._changed:
            while not (queue := self._queues[ONLINE] or self._queues[RESCAN]):
                if self._is_closed:
                    return []
                self._changed.wait()
            key, size = queue[0].key, queue[0].key.version.batch_size
            now = time.monotonic()
            if key.priority == RESCAN and now - self._online_at < RECENT_S:
                size = max(1, size // SMALL_BATCHES)
            batch = _take(queue, key, size)
            deadline = now + self._batch_wait_s
            while len(batch) < size and not any(self._queues.values()):
                if not self._changed.wait(deadline - time.monotonic()):
                    break
                batch += _take(queue, key, size - len(batch))
            self._waiting[key.priority].dec(len(batch))
            return batch

    def _score(self, batch: Sequence[QueuedImage]) -> None:
        try:
            predictions = batch[0].key.predict([queued.image for queued in batch])
        except Exception as error:
            if len(batch) == 1:
                self._scored.labels("failed").inc()
                batch[0].result.set_exception(error)
                return
            log.warning("batch failed, scoring its halves", error=repr(error), images=len(batch))
        else:
            self._scored.labels("scored").inc(len(batch))
            for queued, prediction in zip(batch, predictions, strict=True):
                queued.result.set_result(prediction)
            return
        # The fault may be one image's, or the batch may be too large. Only here is the error gone,
        # which holds the memory of the pass that failed.
        middle = len(batch) // 2
        self._score(batch[:middle])
        self._score(batch[middle:])


def _take(queue: deque[QueuedImage], key: BatchKey, limit: int) -> list[QueuedImage]:
    """Remove and return the first images with a key, in order; the others keep their places."""
    taken: list[QueuedImage] = []
    others: list[QueuedImage] = []
    while queue and len(taken) < limit:
        queued = queue.popleft()
        (taken if queued.key == key else others).append(queued)
    queue.extendleft(reversed(others))
    return taken
