"""The pipeline that uploaded files go through: validate, score, make durable, save."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models.inference.predict import Prediction
from service.blobs import absent, new_key
from service.db import is_undone
from service.errors import ServiceError
from service.images import store
from service.images.storing import Destination, ValidatedImage, image_row, validate_image
from service.scoring import store as score_store
from service.scoring.engine import LoadedVersion
from service.scoring.resources import Resources
from service.scoring.results import ScoreResult, wait_for_result
from service.scoring.splits import min_score_of
from service.tables import Image
from service.traces import record, span

NUM_STAGES = 3  # validate, score, save


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One file of an upload, under the client's name for it."""

    name: str
    file: BinaryIO


@dataclass(frozen=True, slots=True)
class IngestedFile:
    """
    One uploaded file after ingest: a stored image, or the error that refused the file.

    Attributes:
        is_new: whether this file added the image; else the same bytes were stored before.
        score: given by the version that ingest scored with; None without a version.
    """

    file_name: str
    image: Image | None = None
    is_new: bool = False
    score: ScoreResult | None = None
    error: ServiceError | None = None


@dataclass(slots=True)
class _DistinctImage:
    """
    One image under way. Each stage sets its own fields, once.

    Files of a batch with the same bytes share one.

    Attributes:
        valid: set by `_collect`, like `file_name`, the name of the first file with these bytes.
        known: set by `_look_up`: the stored image with the same bytes, if there is one.
        is_lost: set by `_look_up`: it is known, but the store has lost its bytes.
        score: set by `_look_up` if it is stored already, else by `save`.
        scoring: set by `_submit`, if the image needs a score.
        row: set by `_make_durable`, if the image is not known.
        stored: set by `save`, like `is_new`.
    """

    valid: ValidatedImage
    file_name: str
    known: Image | None = None
    is_lost: bool = False
    score: ScoreResult | None = None
    scoring: Future[Prediction] | None = None
    row: dict[str, object] | None = None
    stored: Image | None = None
    is_new: bool = False

    @property
    def digest(self) -> str:
        return self.valid.sha256


@dataclass(slots=True)
class _File:
    """
    One file of a batch under way.

    Attributes:
        image: set by `_collect` if the file is valid; else `error` is set.
        is_first: set by `_collect`: no file before it in the batch has the same bytes.
    """

    uploaded: UploadedFile
    validation: Future[ValidatedImage]
    image: _DistinctImage | None = None
    is_first: bool = False
    error: ServiceError | None = None


@dataclass(slots=True)
class _Batch:
    """Files that move through the stages together; `images` are set by `start_scoring`."""

    files: Sequence[_File] = ()
    images: Sequence[_DistinctImage] = ()
    since_ns: int = 0  # when its present stage began


def ingest(
    resources: Resources,
    files: Sequence[UploadedFile],
    destination: Destination,
    version: LoadedVersion | None = None,
) -> Iterator[IngestedFile]:
    """
    Store files as images, score them with `version` if there is one, and yield them in order.

    Batches of files move through NUM_STAGES stages, and every turn of the loop moves each batch
    one stage on. The decode threads validate one batch while the engine scores the batch before
    it and the database saves the one before that. At most NUM_STAGES batches are in memory. A
    file that is refused holds up no other file; any other error ends the ingest.
    """
    stages = _Stages(resources, destination, version)
    size = resources.scorer.window
    validating, scoring = _Batch(), _Batch()
    for start in range(0, len(files) + (NUM_STAGES - 1) * size, size):  # the last turns: no files
        next_batch = stages.start_validating(files[start : start + size])
        stages.start_scoring(validating)
        yield from stages.save(scoring)
        validating, scoring = next_batch, validating


@dataclass(frozen=True, slots=True)
class _Stages:
    """The stages of one ingest, in order."""

    resources: Resources
    destination: Destination
    version: LoadedVersion | None

    def start_validating(self, files: Sequence[UploadedFile]) -> _Batch:
        """Queue files for the decode threads, which read, validate and decode them."""
        validations = self.resources.scorer.map_decode(self._validate, files)
        files_under_way = [_File(*pair) for pair in zip(files, validations, strict=True)]
        return _Batch(files_under_way, since_ns=time.time_ns())

    def _validate(self, uploaded: UploadedFile) -> ValidatedImage:
        resources = self.resources
        return validate_image(
            uploaded.file.read(), resources.settings.max_pixels, self.version, resources.pixels
        )

    def start_scoring(self, batch: _Batch) -> None:
        """
        Wait until the files are validated, queue their images for scores, and store new bytes.

        The engine scores while the disk makes the bytes durable.
        """
        batch.images = _collect(batch.files)
        if batch.images:
            record("decode", batch.since_ns, images=len(batch.images))
            self._look_up(batch.images)
            batch.since_ns = time.time_ns()
            self._submit(batch.images)
            with span("store", images=len(batch.images)):
                self._make_durable(batch.images)

    def _look_up(self, images: Sequence[_DistinctImage]) -> None:
        """Find out which images are stored already, and which of these have a score."""
        with self.resources.read_sessions.begin() as session:
            known = store.find_by_digests(session, [image.digest for image in images])
            scores: Mapping[int, ScoreResult] = {}
            if self.version is not None and known:
                ids = [image.id for image in known.values()]
                scores = store.find_scores(session, self.version.id, ids)
        lost = absent(self.resources.blobs, [image.blob_key for image in known.values()])
        for image in images:
            image.known = known.get(image.digest)
            if image.known is not None:
                image.is_lost = image.known.blob_key in lost
                image.score = None if image.is_lost else scores.get(image.known.id)

    def _submit(self, images: Sequence[_DistinctImage]) -> None:
        """Queue the images that have no score for the engine, except those to be refused."""
        if self.version is None:
            return
        for image in images:
            if image.score is not None or image.valid.prepared is None:
                continue
            if image.known is not None and not self.destination.accepts(image.known):
                continue
            split = image.known.split if image.known else self.destination.split_of(image.digest)
            image.scoring = self.resources.scorer.submit(
                self.version,
                image.valid.prepared,
                min_score=min_score_of(split, self.resources.settings),
            )

    def _make_durable(self, images: Sequence[_DistinctImage]) -> None:
        """Store the bytes of unknown images and lost ones; `save` adds the rows of the former."""
        contents: dict[str, bytes] = {}
        for image in images:
            if image.known is None:
                key = new_key("images", image.digest)
                image.row = image_row(image.valid, image.file_name, self.destination, key)
                contents[key] = image.valid.content
            elif image.is_lost:
                contents[image.known.blob_key] = image.valid.content
        self.resources.blobs.put_all(contents)

    def save(self, batch: _Batch) -> Iterator[IngestedFile]:
        """Wait for the scores, commit rows and scores in one transaction, and yield the files."""
        num_scored = 0
        for image in batch.images:
            if image.scoring is not None:
                image.score = wait_for_result(image.scoring)
                num_scored += 1
        if num_scored:
            record("forward", batch.since_ns, images=num_scored)
        stored = self._commit(batch.images)
        for image in batch.images:
            image.stored = stored[image.digest]
            if image.row is not None:
                image.is_new = image.stored.blob_key == image.row["blob_key"]
                if not image.is_new:  # another request stored the same bytes meanwhile
                    self.resources.blobs.delete(str(image.row["blob_key"]))
        for file in batch.files:
            yield self._ingested(file)

    def _commit(self, images: Sequence[_DistinctImage]) -> Mapping[str, Image]:
        """Commit new rows and scores, and return the rows of all images by digest."""
        if any(image.row is not None or image.scoring is not None for image in images):
            try:
                with span("write", images=len(images)):
                    return self.resources.group_commit.run(partial(self._write, images))
            except DBAPIError as error:
                if is_undone(error):  # else a row may name the blobs; the daily sweep looks
                    self._delete_new(images)
                raise
        return {image.digest: image.known for image in images if image.known is not None}

    def _delete_new(self, images: Sequence[_DistinctImage]) -> None:
        for image in images:
            if image.row is not None:
                self.resources.blobs.delete(str(image.row["blob_key"]))

    def _write(self, images: Sequence[_DistinctImage], session: Session) -> Mapping[str, Image]:
        """Do the work of `_commit`; it may run twice, so it sets no fields."""
        stored = {image.digest: image.known for image in images if image.known is not None}
        rows = {image.digest: image.row for image in images if image.row is not None}
        stored |= store.add_or_find_images(session, rows)
        if self.version is not None:
            results = {
                stored[image.digest].id: image.score
                for image in images
                if image.scoring is not None and image.score is not None
                if self.destination.accepts(stored[image.digest])
            }
            score_store.save_scores(session, self.version.id, results)
        return stored

    def _ingested(self, file: _File) -> IngestedFile:
        """Decide whether a file was stored or refused, and whether it is new."""
        name, image = file.uploaded.name, file.image
        if image is None or image.stored is None:
            assert file.error is not None
            return IngestedFile(name, error=file.error)
        if not self.destination.accepts(image.stored):
            return IngestedFile(name, error=self.destination.conflict(image.stored))
        is_new = image.is_new and file.is_first
        return IngestedFile(name, image.stored, is_new, image.score)


def _collect(files: Iterable[_File]) -> Sequence[_DistinctImage]:
    """Wait until the files are validated, and return their distinct images in order."""
    images: dict[str, _DistinctImage] = {}
    for file in files:
        try:
            valid = file.validation.result()
        except ServiceError as error:
            file.error = error
        else:
            file.is_first = valid.sha256 not in images
            new = _DistinctImage(valid, file.uploaded.name)
            file.image = images.setdefault(valid.sha256, new)
    return list(images.values())
