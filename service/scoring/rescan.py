"""Stored images through a detector, and what it makes of them into the database."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

import structlog
from sqlalchemy.orm import Session

from models.data.images import UnreadableImageError
from models.detectors import PreparedImage
from models.inference.predict import Prediction
from models.inference.predict import prepare as prepare_image
from service.group_commit import GroupCommit
from service.scoring import store
from service.scoring.engine import LoadedVersion
from service.scoring.resources import Resources
from service.scoring.scorer import outcome_of
from service.scoring.screen import Screen
from service.scoring.stages import behind
from service.tables import Image

log = structlog.get_logger()

MAX_UNSAVED = 32  # images whose scores wait: few, for an upload waits for their transaction

MAX_WINDOWS_UNSURE = 8  # that pass while images in doubt wait for a batch of them

Outcome = Prediction | store.Failure


class Taken(NamedTuple):
    """How many images were taken up, and the splits of those that could not be read."""

    num_images: int
    unread_splits: frozenset[str]


def score_stored(
    resources: Resources, version: LoadedVersion, windows: Iterable[Sequence[Image]]
) -> Taken:
    """
    Score images after all that clients wait for, and save; so is a failure that is the image's own.

    While one window is in the network, the next ones are decoded and those before are written.
    Windows are taken as they are needed: with those of `scorer.window` images, memory holds about
    five of them. What `windows` raises stops the work: what was scored before is saved.

    An image that cannot be read now is left without a score. Raises what reading raised where that
    holds for all of a window of several.
    """
    num_images = 0
    with _Writer(resources.group_commit, version) as writer:
        rescan = _Rescan(resources, version)
        try:
            for window in rescan.run(windows):
                writer.put(window.outcomes)
                num_images += len(window.images)
        finally:
            rescan.cancel()
    return Taken(num_images, frozenset(rescan.unread_splits))


@dataclass(slots=True, eq=False)
class _Window:
    """Images on their way; all is by image id."""

    images: dict[int, Image] = field(default_factory=dict)
    decoding: dict[int, Future[PreparedImage]] = field(default_factory=dict)
    prepared: dict[int, PreparedImage] = field(default_factory=dict)
    quick: dict[int, Future[Prediction]] = field(default_factory=dict)
    exact: dict[int, Future[Prediction]] = field(default_factory=dict)
    last_of_top: dict[int, float | None] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def move(self, image_ids: Iterable[int], to: "_Window") -> None:
        """Give images away that are prepared and have a quick outcome."""
        for image_id in image_ids:
            to.images[image_id] = self.images.pop(image_id)
            to.prepared[image_id] = self.prepared.pop(image_id)
            to.outcomes[image_id] = self.outcomes.pop(image_id)

    def cancel(self) -> None:
        for futures in (self.decoding, self.quick, self.exact):
            for future in futures.values():
                future.cancel()


class _Rescan:
    """
    Takes windows through the stages in order, each stage some windows behind the one before.

    Exact scores for all images but those of the pool whose quick ones lie far below its top. The
    scores that the top is read from may be a few windows old: it only rises while a pool is
    scored, so what is below an old one is below the newest. While a source has few images, all of
    them are scored exactly and only so.
    """

    def __init__(self, resources: Resources, version: LoadedVersion) -> None:
        self._scorer = resources.scorer
        self._version = version
        self._blobs = resources.blobs
        self._read_sessions = resources.read_sessions
        self._under_way: set[_Window] = set()
        self.unread_splits: set[str] = set()

    def run(self, windows: Iterable[Sequence[Image]]) -> Iterator[_Window]:
        """Windows with their outcomes, in order; an image that is scored again comes later."""
        submitted: Iterator[_Window] = map(self._submit, behind(map(self._start_decoding, windows)))
        screen = self._version.screen
        if screen is not None:
            submitted = self._look_again(screen, behind(submitted))
        yield from map(self._finish, behind(submitted))

    def cancel(self) -> None:
        """Give up what is under way; for an engine in the middle of a batch, after that batch."""
        for window in self._under_way:
            window.cancel()

    def _start_decoding(self, images: Sequence[Image]) -> _Window:
        futures = self._scorer.map_decode(self._prepare, images, rescan=True)
        ids = [image.id for image in images]
        window = _Window(
            images=dict(zip(ids, images, strict=True)),
            decoding=dict(zip(ids, futures, strict=True)),
        )
        self._under_way.add(window)
        return window

    def _prepare(self, image: Image) -> PreparedImage:
        content = self._blobs.get(image.blob_key)
        return prepare_image(self._version.detector, content, max_pixels=image.width * image.height)

    def _submit(self, window: _Window) -> _Window:
        """To the engine, as soon as all images of the window are decoded, so that batches fill."""
        errors: dict[int, Exception] = {}
        for image_id, future in window.decoding.items():
            try:
                window.prepared[image_id] = future.result()
            except (UnreadableImageError, FileNotFoundError) as error:
                window.outcomes[image_id] = store.Failure(str(error))
            except Exception as error:
                log.error("an image cannot be read", image_id=image_id, exc_info=error)
                window.outcomes[image_id] = store.Failure(repr(error), may_pass=True)
                errors[image_id] = error
        if len(errors) == len(window.images) > 1:
            raise next(iter(errors.values()))  # not the images' fault, it seems
        self.unread_splits |= {window.images[image_id].split for image_id in errors}
        window.decoding.clear()
        quick = self._worth_screening(window)
        window.quick = self._score(window, quick, quick=True)
        exact = {id_: image for id_, image in window.prepared.items() if id_ not in quick}
        window.exact = self._score(window, exact)
        window.prepared = quick
        return window

    def _worth_screening(self, window: _Window) -> dict[int, PreparedImage]:
        """Images of the pool whose quick scores are likely to spare them exact ones."""
        screen = self._version.screen
        if screen is None:
            return {}
        source_of = {
            image_id: image.source
            for image_id, image in window.images.items()
            if image.split == "pool"
        }
        with self._read_sessions.begin() as session:
            last = {s: self._last_of_top(session, s, screen) for s in set(source_of.values())}
        window.last_of_top = {image_id: last[source] for image_id, source in source_of.items()}
        return {
            image_id: image
            for image_id, image in window.prepared.items()
            if window.last_of_top.get(image_id) is not None
        }

    def _last_of_top(self, session: Session, source: str, screen: Screen) -> float | None:
        """Log-odds of the last image of a source's top; None in too small a source."""
        last = None
        for rank in (screen.worth_from, screen.exact_top):
            last = store.log_odds_at_rank(session, self._version.id, source, rank)
            if last is None:
                break
        return last

    def _look_again(self, screen: Screen, windows: Iterable[_Window]) -> Iterator[_Window]:
        """
        The windows without what their quick scores do not rule out of the top.

        That follows in windows of its own, to be scored exactly: a batch at a time, or what there
        is when some windows have passed.
        """
        unsure = _Window()
        num_passed = 0
        for window in windows:
            quick = {image_id: outcome_of(future) for image_id, future in window.quick.items()}
            window.outcomes |= quick
            again = [
                image_id
                for image_id, outcome in quick.items()
                if screen.needs_exact(outcome, window.last_of_top[image_id])
            ]
            window.move(again, unsure)
            window.prepared = {}
            yield window
            num_passed = num_passed + 1 if unsure.images else 0
            while len(unsure.images) >= self._version.batch_size:
                yield self._submit_again(unsure, self._version.batch_size)
            if unsure.images and num_passed >= MAX_WINDOWS_UNSURE:
                yield self._submit_again(unsure, len(unsure.images))
        if unsure.images:
            yield self._submit_again(unsure, len(unsure.images))

    def _submit_again(self, unsure: _Window, num_images: int) -> _Window:
        window = _Window()
        unsure.move(list(unsure.images)[:num_images], window)
        window.exact = self._score(window, window.prepared)
        window.prepared = {}
        self._under_way.add(window)
        return window

    def _finish(self, window: _Window) -> _Window:
        exact = {image_id: outcome_of(future) for image_id, future in window.exact.items()}
        if self._version.screen is not None:
            both = {id_: outcome for id_, outcome in exact.items() if id_ in window.outcomes}
            self._version.screen.learn(window.outcomes, both)
        window.outcomes |= exact
        self._under_way.remove(window)
        return window

    def _score(
        self, window: _Window, images: dict[int, PreparedImage], *, quick: bool = False
    ) -> dict[int, Future[Prediction]]:
        futures = self._scorer.submit(
            self._version,
            list(images.values()),
            splits=[window.images[image_id].split for image_id in images],
            rescan=True,
            quick=quick,
        )
        return dict(zip(images, futures, strict=True))


class _Writer:
    """
    Saves outcomes in transactions that follow each other, in a thread of its own.

    What comes while one is under way goes into the next. An error is raised by the next call.
    """

    def __init__(self, group_commit: GroupCommit, version: LoadedVersion) -> None:
        self._group_commit = group_commit
        self._version = version
        self._num_learned_from = version.screen.num_images if version.screen else 0
        self._gathered: dict[int, Outcome] = {}
        self._saving: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scores")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Saves the rest, after an error elsewhere too."""
        try:
            self._start_saving()
            self._wait()
        finally:
            self._thread.shutdown()

    def put(self, outcomes: dict[int, Outcome]) -> None:
        self._gathered |= outcomes
        if self._saving is None or self._saving.done() or len(self._gathered) >= MAX_UNSAVED:
            self._start_saving()

    def _start_saving(self) -> None:
        self._wait()
        if self._gathered:
            self._saving = self._thread.submit(self._save, self._gathered)
            self._gathered = {}

    def _wait(self) -> None:
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def _save(self, outcomes: dict[int, Outcome]) -> None:
        version, screen = self._version, self._version.screen
        scored = store.scored_images(outcomes)
        num_images = screen.num_images if screen else 0  # before the error, which may grow now

        def write(session: Session) -> None:
            store.save_scores(session, version.id, scored)
            if screen is not None and num_images > self._num_learned_from:
                store.save_screen_margin(
                    session, version.id, screen.computed_by, num_images, screen.largest_error
                )

        # what a power cut takes is found by the next sweep
        self._group_commit.run(write, may_be_lost=True)
        self._num_learned_from = num_images
