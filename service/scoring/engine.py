"""Micro-batches of prepared images through the detector of one model version at a time."""

import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Thread

import structlog
import torch
from prometheus_client import CollectorRegistry, Counter, Histogram

from models.detectors import Detector
from models.detectors.detector import PreparedImage
from models.inference.batch_size import CPU_BATCH
from models.inference.predict import Prediction, predict
from models.inference.streams import own_stream
from service.scoring.screen import Screen

ONLINE, RESCAN = 0, 1  # what is taken first

# While a client has asked for a score within so many seconds, rescans go in small batches: the
# next client waits for a part of a batch at most.
RECENT_S = 1.0
SMALL_BATCHES = 8  # to a full one

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """
    A model version whose detector is in memory, on its device, in evaluation mode.

    `screen` is there if the pool may be scored quickly first; `batch_size` is the most images that
    one forward pass takes.
    """

    id: int
    name: str
    detector: Detector
    screen: Screen | None = None
    batch_size: int = CPU_BATCH


@dataclass(frozen=True, slots=True)
class _Kind:
    """
    What all images of a batch have in common.

    The priority, too: a batch that a client waits for is not filled up by a rescan.
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
class _Job:
    kind: _Kind
    image: PreparedImage
    result: Future[Prediction]


class Engine:
    """
    The threads that own the forward pass, each with batches of its own.

    On the CPU each computes with a part of the cores, so that it does not wait at every layer for a
    core that decodes an image meanwhile. On a GPU each has a stream of its own, so that one's
    copies run beside the other's passes.

    Work names its version when it is submitted, so that all images of a request are scored by
    the version that served when the request came, whatever is swapped in meanwhile.
    """

    def __init__(
        self,
        batch_wait_s: float,
        registry: CollectorRegistry,
        num_threads: int = 1,
        cores_of_each: int = 1,
    ) -> None:
        self._cores_of_each = cores_of_each
        self._batch_wait_s = batch_wait_s
        self._waiting: dict[int, deque[_Job]] = {ONLINE: deque(), RESCAN: deque()}
        self._changed = Condition()
        self._is_closed = False
        self._online_at = -math.inf
        self._batch_sizes = Histogram(
            "hardneg_batch_images",
            "Images in one forward pass",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=registry,
        )
        self._scored = Counter(
            "hardneg_scored_images", "Images scored, by result", ["result"], registry=registry
        )
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
        Not scored at all if it is cancelled before its batch begins; see `predict`.

        A `quick` score is the screen's.

        Raises RuntimeError once the engine is closed.
        """
        job = _Job(_Kind(version, priority, quick, min_score), image, Future())
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the engine is closed")
            if priority == ONLINE:
                self._online_at = time.monotonic()
            self._waiting[priority].append(job)
            self._changed.notify_all()
        return job.result

    def close(self) -> None:
        """Return when all that was submitted is scored."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        torch.set_num_threads(self._cores_of_each)
        while taken := self._next_batch():
            batch = [job for job in taken if job.result.set_running_or_notify_cancel()]
            if batch:
                self._batch_sizes.observe(len(batch))
                self._score(batch)
            del taken, batch  # their images are not held while this waits

    def _next_batch(self) -> list[_Job]:
        """
        Up to a batch of jobs of one kind, the first at once, the rest within the wait.

        It waits only while there is nothing else to do. Empty once the engine is closed.
        """
        with self._changed:
            while not (waiting := self._waiting[ONLINE] or self._waiting[RESCAN]):
                if self._is_closed:
                    return []
                self._changed.wait()
            kind, size = waiting[0].kind, waiting[0].kind.version.batch_size
            now = time.monotonic()
            if kind.priority == RESCAN and now - self._online_at < RECENT_S:
                size = max(1, size // SMALL_BATCHES)
            batch = _take(waiting, kind, size)
            deadline = now + self._batch_wait_s
            while len(batch) < size and not any(self._waiting.values()):
                if not self._changed.wait(deadline - time.monotonic()):
                    break
                batch += _take(waiting, kind, size - len(batch))
            return batch

    def _score(self, batch: Sequence[_Job]) -> None:
        try:
            predictions = batch[0].kind.predict([job.image for job in batch])
        except Exception as error:
            if len(batch) > 1:  # one image, or the batch's size, is at fault: find out which
                log.warning("batch failed, scoring its images one by one", error=repr(error))
                for job in batch:
                    self._score([job])
            else:
                self._scored.labels("failed").inc()
                batch[0].result.set_exception(error)
            return
        self._scored.labels("scored").inc(len(batch))
        for job, prediction in zip(batch, predictions, strict=True):
            job.result.set_result(prediction)


def _take(waiting: deque[_Job], kind: _Kind, most: int) -> list[_Job]:
    """The first of a kind, in order; the others stay where they are."""
    taken: list[_Job] = []
    others: list[_Job] = []
    while waiting and len(taken) < most:
        job = waiting.popleft()
        (taken if job.kind == kind else others).append(job)
    waiting.extendleft(reversed(others))
    return taken
