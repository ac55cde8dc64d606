"""Rescans: stored images are decoded, scored and saved in stages that overlap."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import structlog
from sqlalchemy.orm import Session

from models.data.images import UnreadableImageError
from models.detectors.detector import PreparedImage
from models.inference.predict import Prediction
from service.scoring import store
from service.scoring.engine import RESCAN, LoadedVersion
from service.scoring.preparing import prepare_stored
from service.scoring.rescan_image import RescanImage
from service.scoring.resources import Resources
from service.scoring.results import ScoringFailure, wait_for_result
from service.scoring.score_writer import ScoreWriter
from service.scoring.screen import Screen
from service.scoring.second_looks import SecondLooks
from service.scoring.splits import RANKED_SPLIT, min_score_of
from service.tables import Image

# Windows that a stage keeps under way in other threads. When another one comes in, this thread
# waits for the oldest and moves it on.
DECODE_DEPTH = 1
SCORE_DEPTH = 1
SECOND_LOOK_DEPTH = 1  # 0 without a screen, because no image waits for a second look then

# Many processes share a database, and the cutoff takes it milliseconds. It moves with the share of
# images that are new, so a rescan may use it for this share of its own age.
CUTOFF_AGE_SHARE = 1 / 20
MAX_CUTOFF_AGE_S = 3.0

log = structlog.get_logger()


class RescanSummary(NamedTuple):
    """The number of images that a rescan finished, and the splits of those it could not read."""

    num_images: int
    unread_splits: frozenset[str]


def score_stored(
    resources: Resources, version: LoadedVersion, windows: Iterable[Sequence[Image]]
) -> RescanSummary:
    """
    Score windows of images and save the results; uploads go first.

    Three things overlap: decode threads work on the newest windows, the network on those before
    them, and a writer saves the results of the oldest. `windows` is read only as fast as scores
    come. With windows of `scorer.window` images, about five of them are in memory.

    An image that is damaged or gone gets its failure in the place of a score. An image that cannot
    be read for another reason stays without a score, and so does one on which the detector fails.

    Errors of `windows` and of saving end the rescan, and so do those of reading if they hold for
    all of a window of several images. Finished results are saved even then; everything else that
    is under way is cancelled.
    """
    with ScoreWriter(resources.group_commit, version) as writer:
        return _Rescan(resources, version, writer).run(windows)


class _Rescan:
    """
    The stages of one rescan, and the windows that are in each.

    1. decode: the decode threads read and decode a window.
    2. score: the engine scores it, ranked images of large sources quickly, all others exactly.
    3. second look: the engine scores exactly what the quick scores do not rule out of the top.
    4. save: the writer gets the results.

    This thread moves windows from stage to stage, and waits in `_start_scoring` for pixels, in
    `_set_aside_unsure` for quick scores, and in `_save` for exact ones.

    The cutoff of the top may be a few seconds old, and other processes may score meanwhile. It only
    rises while a version scores more images, so an image below an old cutoff is also below the
    newest.
    """

    def __init__(self, resources: Resources, version: LoadedVersion, writer: ScoreWriter) -> None:
        self._resources = resources
        self._scorer = resources.scorer
        self._version = version
        self._writer = writer
        self._second_looks = SecondLooks(version.batch_size)
        self._finish_depth = SECOND_LOOK_DEPTH if version.screen is not None else 0
        self._decoding: deque[list[RescanImage]] = deque()
        self._scoring: deque[list[RescanImage]] = deque()
        self._finishing: deque[list[RescanImage]] = deque()
        self._under_way: set[RescanImage] = set()  # in any stage
        self._num_finished = 0
        self._unread_splits: set[str] = set()
        self._started_at = self._cutoffs_at = time.monotonic()
        self._cutoffs: dict[str, float | None] = {}  # by source

    def run(self, windows: Iterable[Sequence[Image]]) -> RescanSummary:
        try:
            for images in windows:
                self._decoding.append(self._start_decoding(images))
                self._advance(at_end=False)
            self._advance(at_end=True)
        finally:
            for item in self._under_way:  # none, without an error
                item.cancel()
        return RescanSummary(self._num_finished, frozenset(self._unread_splits))

    def _advance(self, *, at_end: bool) -> None:
        """Move the oldest windows on until each stage keeps its depth of them, at the end none."""
        while len(self._decoding) > (0 if at_end else DECODE_DEPTH):
            self._scoring.append(self._start_scoring(self._decoding.popleft()))
        while len(self._scoring) > (0 if at_end else SCORE_DEPTH):
            self._finishing.append(self._set_aside_unsure(self._scoring.popleft()))
        for batch in self._second_looks.take_due(at_end=at_end):
            self._finishing.append(self._start_second_looks(batch))
        while len(self._finishing) > (0 if at_end else self._finish_depth):
            self._save(self._finishing.popleft())

    def _start_decoding(self, images: Sequence[Image]) -> list[RescanImage]:
        futures = self._scorer.map_decode(self._read, images, priority=RESCAN)
        window = [RescanImage(*pair) for pair in zip(images, futures, strict=True)]
        self._under_way.update(window)
        return window

    def _read(self, image: Image) -> PreparedImage:
        return prepare_stored(self._resources, self._version.detector, image)

    def _start_scoring(self, window: list[RescanImage]) -> list[RescanImage]:
        """Queue a window once all of it is decoded; part of it would not fill batches."""
        decoded = self._collect_decoded(window)
        self._set_cutoffs(decoded)
        for item in decoded:
            if item.cutoff is not None:
                item.quick = self._submit(item, quick=True)
        self._queue_exact([item for item in decoded if item.quick is None])
        return window

    def _collect_decoded(self, window: list[RescanImage]) -> list[RescanImage]:
        """Wait for the pixels of a window; an image that cannot be read gets its failure here."""
        decoded: list[RescanImage] = []
        errors: list[Exception] = []
        for item in window:
            try:
                _ = item.pixels
            except (UnreadableImageError, FileNotFoundError) as error:
                item.failure = ScoringFailure(str(error))
            except Exception as error:
                log.error("an image cannot be read", image_id=item.image.id, exc_info=error)
                item.failure = ScoringFailure(repr(error), is_transient=True)
                self._unread_splits.add(item.image.split)
                errors.append(error)
            else:
                decoded.append(item)
        if len(errors) == len(window) > 1:
            raise errors[0]  # the store is at fault, not each of the images
        return decoded

    def _set_cutoffs(self, items: Sequence[RescanImage]) -> None:
        screen = self._version.screen
        ranked = [item for item in items if item.image.split == RANKED_SPLIT]
        if screen is None or not ranked:
            return
        self._read_cutoffs({item.image.source for item in ranked}, screen)
        for item in ranked:
            item.cutoff = self._cutoffs[item.image.source]

    def _read_cutoffs(self, sources: set[str], screen: Screen) -> None:
        """Read the cutoffs that are new to this rescan, and all of them anew when they are old."""
        now = time.monotonic()
        age = min(CUTOFF_AGE_SHARE * (now - self._started_at), MAX_CUTOFF_AGE_S)
        if now - self._cutoffs_at >= age:
            self._cutoffs, self._cutoffs_at = {}, now
        unknown = sources - self._cutoffs.keys()
        if not unknown:
            return
        with self._resources.read_sessions.begin() as session:
            for source in unknown:
                self._cutoffs[source] = self._cutoff(session, source, screen)

    def _cutoff(self, session: Session, source: str, screen: Screen) -> float | None:
        """Return the log-odds of the last image in a source's top; None in too small a source."""
        if (
            store.log_odds_at_rank(session, self._version.id, source, screen.min_source_size)
            is None
        ):
            return None
        return store.log_odds_at_rank(session, self._version.id, source, screen.exact_top)

    def _set_aside_unsure(self, window: list[RescanImage]) -> list[RescanImage]:
        """Wait for a window's quick scores; return it without the images that may be in a top."""
        screen = self._version.screen
        sure: list[RescanImage] = []
        unsure: list[RescanImage] = []
        for item in window:
            if screen is None or item.quick is None or item.cutoff is None:
                sure.append(item)
                continue
            item.quick_result = wait_for_result(item.quick)
            if screen.may_be_in_top(item.quick_result, item.cutoff):
                unsure.append(item)
            else:
                item.drop_pixels()
                sure.append(item)
        self._second_looks.add_window(unsure)
        return sure

    def _start_second_looks(self, batch: list[RescanImage]) -> list[RescanImage]:
        self._queue_exact(batch)
        return batch

    def _queue_exact(self, items: Sequence[RescanImage]) -> None:
        for item in items:
            item.exact = self._submit(item, quick=False)
            item.drop_pixels()

    def _submit(self, item: RescanImage, *, quick: bool) -> Future[Prediction]:
        return self._scorer.submit(
            self._version,
            item.pixels,
            priority=RESCAN,
            quick=quick,
            min_score=min_score_of(item.image.split, self._resources.settings),
        )

    def _save(self, window: list[RescanImage]) -> None:
        """Wait for a window's exact scores, and hand its results to the writer."""
        screen = self._version.screen
        results = {item.image.id: item.wait_for_result() for item in window}
        for item in window:
            if screen is not None and item.quick_result is not None and item.exact is not None:
                screen.measure(item.quick_result, results[item.image.id])
        self._writer.add(results)
        self._under_way.difference_update(window)
        self._num_finished += len(window)
