"""Batches of training: a fixed mix of labelled images and negatives, by seed and step."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.augmentation import Augment, Augmentation
from models.data.datasets import DEFAULT_CAPACITY_BYTES, ImageCache, LabelledImage, Sample
from models.detectors import Detector, PreparedImage

LABELLED_STREAM, NEGATIVE_STREAM, VIEW_STREAM = range(3)

BATCHES_AHEAD = 2  # loaded or being loaded while a step runs

Target = dict[str, Tensor]
View = tuple[PreparedImage, Target]
Batch = tuple[list[PreparedImage], list[Target]]


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """
    The images of each training step, a pure function of seed and step.

    Labelled images and negatives are two separate streams, each shuffled anew for every pass.
    Every batch holds exactly `num_negatives_per_batch` negatives, every image of a stream is used
    equally often, and a run can resume at any step.

    Attributes:
        num_labelled: number of labelled images.
        num_negatives: number of negatives.
        batch_size: images per step, over all processes.
        num_negatives_per_batch: negatives among them.
        seed: seed of all draws.
    """

    num_labelled: int
    num_negatives: int
    batch_size: int
    num_negatives_per_batch: int
    seed: int

    @property
    def num_labelled_per_batch(self) -> int:
        return self.batch_size - self.num_negatives_per_batch

    @property
    def steps_per_pass(self) -> int:
        """The number of steps that use every labelled image at least once."""
        return -(-self.num_labelled // self.num_labelled_per_batch)

    def batch(self, step: int) -> list[int]:
        """
        Return the images of one step (from 0); numbers of negatives follow those of labelled.

        Both kinds are spread evenly over the batch, so processes that take every n-th position
        get both.
        """
        labelled = self._draw(LABELLED_STREAM, step, self.num_labelled, self.num_labelled_per_batch)
        negatives = self._draw(
            NEGATIVE_STREAM, step, self.num_negatives, self.num_negatives_per_batch
        )
        chosen = [*labelled, *(self.num_labelled + index for index in negatives)]
        places = [
            (position + 0.5) / count
            for count in (self.num_labelled_per_batch, self.num_negatives_per_batch)
            for position in range(count)
        ]
        return [chosen[index] for index in np.argsort(places, kind="stable")]

    def view_seed(self, step: int, position: int) -> int:
        """Return the seed for augmenting the image at one position of one step."""
        return draw_seed(self.seed, VIEW_STREAM, step, position)

    def _draw(self, stream: int, step: int, num_images: int, count: int) -> list[int]:
        drawn = []
        for index in range(step * count, (step + 1) * count):
            number, place = divmod(index, num_images)
            drawn.append(int(_pass_order(self.seed, stream, number, num_images)[place]))
        return drawn


@lru_cache(maxsize=4)  # a batch needs the current pass of two streams, or the next
def _pass_order(seed: int, stream: int, number: int, num_images: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, stream, number]).permutation(num_images)


def plan_batches(
    num_labelled: int, num_negatives: int, *, batch_size: int, negative_share: float, seed: int
) -> BatchPlan:
    """
    Plan batches with a share of negatives, rounded, but with at least one image of each kind.

    Without negatives, or with a share of 0, batches hold labelled images only.

    Raises:
        ValueError: There are no labelled images, the share is outside [0, 1), or the batch is too
            small for both kinds.
    """
    if num_labelled < 1:
        raise ValueError("training needs at least one labelled image")
    if not 0 <= negative_share < 1:
        raise ValueError(f"{negative_share=} must lie in [0, 1)")
    wants_negatives = num_negatives > 0 and negative_share > 0
    if batch_size < (2 if wants_negatives else 1):
        raise ValueError(f"{batch_size=} is too small to hold labelled images and negatives")
    wanted = round(batch_size * negative_share)
    share = min(max(wanted, 1), batch_size - 1) if wants_negatives else 0
    return BatchPlan(num_labelled, num_negatives, batch_size, share, seed)


def draw_seed(*key: int) -> int:
    """Return a seed in [0, 2**63), practically independent of every other key's."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


class TrainingViews:
    """Augmented, resized training images; the key of an item is (index, seed of its view)."""

    def __init__(
        self,
        detector: Detector,
        images: Sequence[LabelledImage],
        augmentation: Augmentation,
        max_side: int,
        *,
        cache_folder: Path | None = None,
        num_processes: int = 1,
    ) -> None:
        capacity_bytes = DEFAULT_CAPACITY_BYTES // num_processes
        self._images = ImageCache(
            images, max_side, capacity_bytes=capacity_bytes, folder=cache_folder
        )
        self._augment = Augment(augmentation)
        self._preprocess = detector.preprocess
        self._pins_memory = detector.device.type == "cuda"

    def __getitem__(self, key: tuple[int, int]) -> View:
        """Return one view; threads may ask at once."""
        index, seed = key
        sample = self._augment(self._images[index], torch.Generator().manual_seed(seed))
        prepared = self._preprocess(sample.image)
        if self._pins_memory:
            prepared = replace(prepared, pixels=prepared.pixels.pin_memory())
        return prepared, _target(sample)


class PlannedSampler:
    """Keys for `TrainingViews` by a plan, for a range of steps and one of n processes."""

    def __init__(
        self, plan: BatchPlan, steps: range, *, process: int = 0, num_processes: int = 1
    ) -> None:
        if plan.batch_size % num_processes:
            raise ValueError(
                f"batch_size {plan.batch_size} must be a multiple of {num_processes} processes"
            )
        self._plan, self._steps = plan, steps
        self._process, self._num_processes = process, num_processes

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in self._steps:
            keys = [
                (index, self._plan.view_seed(step, position))
                for position, index in enumerate(self._plan.batch(step))
            ]
            yield keys[self._process :: self._num_processes]


def load_batches(
    views: TrainingViews, sampler: PlannedSampler, *, num_threads: int
) -> Generator[Batch]:
    """
    Load batches in the sampler's order; they do not depend on the number of threads.

    Threads load the next batches while the caller works on one; without any, the caller loads them.
    Closing the iterator ends the threads.
    """
    if num_threads == 0:
        yield from (_as_lists([views[key] for key in keys]) for keys in sampler)
        return
    # The mean that changes an image's contrast depends on this number in its last bit.
    start = partial(torch.set_num_threads, torch.get_num_threads())
    threads = ThreadPoolExecutor(num_threads, "loader", initializer=start)
    loading: deque[list[Future[View]]] = deque()
    try:
        for keys in sampler:
            loading.append([threads.submit(views.__getitem__, key) for key in keys])
            if len(loading) > BATCHES_AHEAD:
                yield _as_lists([view.result() for view in loading.popleft()])
        while loading:
            yield _as_lists([view.result() for view in loading.popleft()])
    finally:
        threads.shutdown(cancel_futures=True)


def _as_lists(views: Sequence[View]) -> Batch:
    return [image for image, _ in views], [target for _, target in views]


def _target(sample: Sample) -> Target:
    return {"boxes": sample.truth.boxes, "labels": sample.truth.labels}
