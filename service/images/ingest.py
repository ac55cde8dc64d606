"""Uploads: bytes made durable, then rows, then scores."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import BinaryIO

from models.detectors.detector import PreparedImage
from service.blobs import BlobStore
from service.db import Sessions
from service.errors import ServiceError
from service.images import views
from service.images.schemas import ScoreOut
from service.images.storing import Purpose, ReadImage, read_image, store_image
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
class Ingest:
    """Takes uploads in; the purpose holds for all of them."""

    sessions: Sessions
    blobs: BlobStore
    scorer: Scorer
    max_pixels: int
    purpose: Purpose
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
            image, is_new = store_image(
                self.sessions,
                self.blobs,
                read.result(),
                file_name=upload.file_name,
                purpose=self.purpose,
            )
        except ServiceError as error:
            return Outcome(upload.file_name, error.status, error=error)
        if not is_new:
            status = HTTPStatus.OK
        else:
            status = HTTPStatus.CREATED if self.scores_now else HTTPStatus.ACCEPTED
        return Outcome(upload.file_name, status, image)

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
