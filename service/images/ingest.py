"""Uploads: bytes made durable, then rows, then scores."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from hashlib import sha256
from http import HTTPStatus
from typing import BinaryIO

from models.detectors.detector import PreparedImage
from models.images import UnreadableImageError, UnsupportedImageError, decode, read_header
from service.blobs import BlobStore, new_key
from service.db import Sessions
from service.errors import ServiceError
from service.images import store, views
from service.images.errors import (
    EmptyFile,
    SplitConflict,
    TooManyPixels,
    UnreadableImage,
    UnsupportedImage,
)
from service.images.schemas import ScoreOut
from service.model_versions import store as version_store
from service.scoring import store as score_store
from service.scoring.engine import LoadedVersion
from service.scoring.scorer import Scorer
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


@dataclass(frozen=True, slots=True)
class ReadImage:
    """An upload whose bytes are proved to be an image."""

    content: bytes
    sha256: str
    media_type: str
    width: int
    height: int
    prepared: PreparedImage | None  # None where no version serves


@dataclass(frozen=True, slots=True)
class Ingest:
    """Takes uploads in; `split`, `source` hold for all of them."""

    sessions: Sessions
    blobs: BlobStore
    scorer: Scorer
    max_pixels: int
    split: str
    source: str
    scores_now: bool

    def run(self, uploads: Sequence[Upload]) -> Iterator[Outcome]:
        """One outcome for each upload, in order; memory is bounded by the scorer's window."""
        version = self.scorer.serving if self.scores_now else None
        for start in range(0, len(uploads), self.scorer.window):
            yield from self._run_window(uploads[start : start + self.scorer.window], version)

    def _run_window(
        self, uploads: Sequence[Upload], version: LoadedVersion | None
    ) -> list[Outcome]:
        read = self.scorer.map_decode(lambda upload: self._read(upload, version), uploads)
        outcomes = [
            self._store(upload, future) for upload, future in zip(uploads, read, strict=True)
        ]
        if version is None:
            return outcomes
        return self._score(version, outcomes, read)

    def _read(self, upload: Upload, version: LoadedVersion | None) -> ReadImage:
        return read_image(upload.file.read(), self.max_pixels, version)

    def _store(self, upload: Upload, read: Future[ReadImage]) -> Outcome:
        try:
            image, is_new = self._store_once(upload.file_name, read.result())
        except ServiceError as error:
            return Outcome(upload.file_name, error.status, error=error)
        if not is_new:
            status = HTTPStatus.OK
        else:
            status = HTTPStatus.CREATED if self.scores_now else HTTPStatus.ACCEPTED
        return Outcome(upload.file_name, status, image)

    def _store_once(self, file_name: str, read: ReadImage) -> tuple[Image, bool]:
        """The row of these bytes, and whether it is new. Raises SplitConflict."""
        with self.sessions.begin() as session:
            known = store.find_by_digest(session, read.sha256)
        if known is None:
            key = new_key("images", read.sha256)
            self.blobs.put(key, read.content)
            with self.sessions.begin() as session:
                added = store.add_image(session, self._row(file_name, read, key))
                known = added or store.find_by_digest(session, read.sha256)
            if added is not None:
                return added, True
            self.blobs.delete(key)  # another request stored the same bytes meanwhile
        if known is None:  # and another deleted them: ours go in again
            return self._store_once(file_name, read)
        if known.split != self.split:
            raise SplitConflict(known.id, known.split, self.split)
        return known, False

    def _row(self, file_name: str, read: ReadImage, key: str) -> dict[str, object]:
        return {
            "sha256": read.sha256,
            "blob_key": key,
            "split": self.split,
            "source": self.source,
            "file_name": file_name,
            "media_type": read.media_type,
            "size_bytes": len(read.content),
            "width": read.width,
            "height": read.height,
        }

    def _score(
        self,
        version: LoadedVersion,
        outcomes: Sequence[Outcome],
        read: Sequence[Future[ReadImage]],
    ) -> list[Outcome]:
        """Outcomes with scores: stored ones where this version knows the image, else new ones."""
        images = {outcome.image.id: outcome.image for outcome in outcomes if outcome.image}
        scores = stored_scores(self.sessions, version.id, list(images))
        prepared: dict[int, PreparedImage] = {}
        for outcome, future in zip(outcomes, read, strict=True):
            if outcome.image and outcome.image.id not in scores:
                image = future.result().prepared
                assert image is not None
                prepared[outcome.image.id] = image
        results = self.scorer.score(version, list(prepared.values()))
        fresh = dict(zip(prepared, results, strict=True))
        with self.sessions.begin() as session:
            score_store.save_scores(session, version.id, score_store.scored_images(fresh))
        for image_id, result in fresh.items():
            scores[image_id] = views.fresh_score(version, result)
        return [
            replace(outcome, score=scores[outcome.image.id]) if outcome.image else outcome
            for outcome in outcomes
        ]


def read_image(content: bytes, max_pixels: int, version: LoadedVersion | None) -> ReadImage:
    """
    Prove that bytes are an image, and prepare it for a version's detector.

    Raises:
        EmptyFile, UnsupportedImage, TooManyPixels (from the header, before any pixel is
        decoded), UnreadableImage.
    """
    if not content:
        raise EmptyFile
    try:
        header = read_header(content)
        if header.width * header.height > max_pixels:
            raise TooManyPixels(header.width, header.height, max_pixels)
        pixels = decode(content, max_pixels=max_pixels)
    except UnsupportedImageError as error:
        raise UnsupportedImage(str(error)) from error
    except UnreadableImageError as error:
        raise UnreadableImage(str(error)) from error
    return ReadImage(
        content=content,
        sha256=sha256(content).hexdigest(),
        media_type=header.media_type,
        width=header.width,
        height=header.height,
        prepared=version.detector.preprocess(pixels) if version else None,
    )


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
