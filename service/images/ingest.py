"""Uploads: bytes made durable, then rows and scores."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO

from sqlalchemy.orm import Session

from hardneg.schemas.images import ScoreOut
from models.inference.predict import Prediction
from service.blobs import new_key
from service.db import Sessions
from service.errors import ServiceError
from service.images import store, views
from service.images.storing import Purpose, ReadImage, image_row, read_image
from service.model_versions import store as version_store
from service.scoring import store as score_store
from service.scoring.engine import LoadedVersion
from service.scoring.resources import Resources
from service.scoring.results import wait_for_result
from service.scoring.splits import min_score_of
from service.scoring.stages import behind
from service.tables import Image


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a request."""

    file_name: str
    file: BinaryIO


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: an image, or an error."""

    file_name: str
    status: HTTPStatus
    image: Image | None = None
    score: ScoreOut | None = None
    error: ServiceError | None = None


@dataclass(slots=True)
class _File:
    """A file on its way."""

    upload: Upload
    reading: Future[ReadImage]
    read: ReadImage | None = None
    error: ServiceError | None = None


@dataclass(slots=True)
class _Window:
    """Files on their way together; each mapping is by digest."""

    files: Sequence[_File]
    known: Mapping[str, Image]
    scores: Mapping[str, ScoreOut]  # of known images
    scoring: Mapping[str, Future[Prediction]]  # of all others, where a version serves
    rows: Mapping[str, dict[str, object]]  # of new images, whose bytes are durable


@dataclass(frozen=True, slots=True)
class Ingest:
    """Takes uploads in; the purpose holds for all of them."""

    resources: Resources
    purpose: Purpose
    scores_now: bool

    def run(self, uploads: Sequence[Upload]) -> Iterator[Outcome]:
        """
        One outcome for each upload, in order.

        A window's files are decoded while those of the window before are scored and saved. Memory
        is bounded by a few windows of the scorer.
        """
        version = self.resources.scorer.serving if self.scores_now else None
        size = self.resources.scorer.window
        windows = (uploads[start : start + size] for start in range(0, len(uploads), size))
        reading = (self._start_reading(window, version) for window in windows)
        taken_in = (self._take_in(files, version) for files in behind(reading))
        for window in behind(taken_in):
            yield from self._save(window, version)

    def _start_reading(
        self, uploads: Sequence[Upload], version: LoadedVersion | None
    ) -> list[_File]:
        def read(upload: Upload) -> ReadImage:
            return read_image(upload.file.read(), self.resources.settings.max_pixels, version)

        futures = self.resources.scorer.map_decode(read, uploads)
        return [_File(*pair) for pair in zip(uploads, futures, strict=True)]

    def _take_in(self, files: Sequence[_File], version: LoadedVersion | None) -> _Window:
        """Hand over to the engine what has no score, and make the new bytes durable meanwhile."""
        reads: dict[str, ReadImage] = {}
        for file in files:
            try:
                file.read = file.reading.result()
                reads.setdefault(file.read.sha256, file.read)
            except ServiceError as error:
                file.error = error
        with self.resources.read_sessions.begin() as session:
            known = store.find_by_digests(session, list(reads))
        scores = {}
        if version is not None and known:
            ids = [image.id for image in known.values()]
            stored = stored_scores(self.resources.read_sessions, version.id, ids)
            scores = {d: stored[image.id] for d, image in known.items() if image.id in stored}
        scoring: dict[str, Future[Prediction]] = {}
        if version is not None:
            images = {
                digest: read.prepared
                for digest, read in reads.items()
                if read.prepared is not None and digest not in scores
                if digest not in known or self.purpose.takes(known[digest])
            }
            for digest, image in images.items():
                split = known[digest].split if digest in known else self.purpose.split_of(digest)
                min_score = min_score_of(split, self.resources.settings)
                scoring[digest] = self.resources.scorer.submit(version, image, min_score=min_score)
        return _Window(files, known, scores, scoring, self._put(files, known))

    def _put(
        self, files: Sequence[_File], known: Mapping[str, Image]
    ) -> dict[str, dict[str, object]]:
        """The rows to be, by digest, of images that are not known."""
        rows: dict[str, dict[str, object]] = {}
        contents: dict[str, bytes] = {}
        for file in files:
            read = file.read
            if read is not None and read.sha256 not in known and read.sha256 not in rows:
                key = new_key("images", read.sha256)
                rows[read.sha256] = image_row(read, file.upload.file_name, self.purpose, key)
                contents[key] = read.content
        self.resources.blobs.put_all(contents)
        return rows

    def _save(self, window: _Window, version: LoadedVersion | None) -> Iterable[Outcome]:
        fresh = {digest: wait_for_result(future) for digest, future in window.scoring.items()}

        def write(session: Session) -> dict[str, Image]:
            images = {**window.known, **store.add_or_find_images(session, window.rows)}
            if version is not None:
                by_id = {
                    images[digest].id: outcome
                    for digest, outcome in fresh.items()
                    if self.purpose.takes(images[digest])
                }
                score_store.save_scores(session, version.id, by_id)
            return images

        images = self.resources.group_commit.run(write) if window.rows or fresh else window.known
        is_new = {
            digest
            for digest, row in window.rows.items()
            if images[digest].blob_key == row["blob_key"]
        }
        for digest in window.rows.keys() - is_new:  # stored by another request meanwhile
            self.resources.blobs.delete(str(window.rows[digest]["blob_key"]))
        scores = dict(window.scores)
        if version is not None:
            scores |= {d: views.fresh_score(version, outcome) for d, outcome in fresh.items()}
        for file in window.files:
            yield self._outcome(file, images, scores, is_new)

    def _outcome(
        self,
        file: _File,
        images: Mapping[str, Image],
        scores: Mapping[str, ScoreOut],
        is_new: set[str],
    ) -> Outcome:
        name = file.upload.file_name
        if file.read is None:
            assert file.error is not None
            return Outcome(name, file.error.status, error=file.error)
        digest = file.read.sha256
        image = images[digest]
        if digest in is_new:
            is_new.discard(digest)  # the same bytes again are known
            status = HTTPStatus.CREATED if self.scores_now else HTTPStatus.ACCEPTED
        elif self.purpose.takes(image):
            status = HTTPStatus.OK
        else:
            error = self.purpose.conflict(image)
            return Outcome(name, error.status, error=error)
        return Outcome(name, status, image, scores.get(digest))


def stored_scores(
    sessions: Sessions, version_id: int, image_ids: Sequence[int]
) -> dict[int, ScoreOut]:
    """The scores that a version has given to these images already, by image id."""
    with sessions.begin() as session:
        version = version_store.find_version(session, version_id)
        scores = score_store.find_scores(session, version_id, image_ids)
        if version is None or not scores:
            return {}
        detections = score_store.detections_of(session, version_id, list(scores))
    return {
        image_id: views.stored_score(version, score, detections[image_id])
        for image_id, score in scores.items()
    }
