"""The blobs that rows name, and the blobs that no row names."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from hardneg.schemas.jobs import JobStatus
from service.blobs import StoredBlob
from service.db import Sessions
from service.jobs.leftovers import STATE_KEY, UPLOAD_KEY, key_in
from service.tables import Image, Job, ModelVersion

PAGE = 500
# Longer than any request or job step takes between the bytes and the row that names them.
SETTLED_AFTER_S = 3600.0

T = TypeVar("T")


class ExpectedBlob(NamedTuple):
    """A blob that a row names, and the digest of its bytes."""

    key: str
    sha256: str
    subject: str  # such as `image 5`


def expected_blobs(sessions: Sessions) -> Iterator[ExpectedBlob]:
    """Yield the blobs of all images and model versions, page by page."""
    after_id = 0
    while images := _images_after(sessions, after_id):
        for image in images:
            yield ExpectedBlob(image.blob_key, image.sha256, f"image {image.id}")
        after_id = images[-1].id
    with sessions.begin() as session:
        versions = session.scalars(select(ModelVersion).order_by(ModelVersion.id)).all()
    for version in versions:
        subject = f"model version {version.id}"
        yield ExpectedBlob(version.checkpoint_key, version.checkpoint_sha256, subject)


def _images_after(sessions: Sessions, after_id: int) -> Sequence[Image]:
    statement = select(Image).where(Image.id > after_id).order_by(Image.id).limit(PAGE)
    with sessions.begin() as session:
        return session.scalars(statement).all()


def is_still_expected(sessions: Sessions, blob: ExpectedBlob) -> bool:
    """Return whether the row that named a blob is still there."""
    with sessions.begin() as session:
        return blob.key in _named_keys(session, [blob.key])


def orphans(sessions: Sessions, blobs: Iterator[StoredBlob]) -> Iterator[StoredBlob]:
    """
    Yield the blobs of ours that no row names, except those so new that their row may follow.

    The bytes come first and then their row, so list the blobs before the rows are read.
    """
    ours = (
        blob
        for blob in blobs
        if blob.age_s > SETTLED_AFTER_S and blob.key.startswith(("images/", "checkpoints/"))
    )
    for page in _pages(ours, PAGE):
        with sessions.begin() as session:
            named = _named_keys(session, [blob.key for blob in page])
        yield from (blob for blob in page if blob.key not in named)


def _named_keys(session: Session, keys: Collection[str]) -> set[str]:
    """Return those keys of images and checkpoints that a row names; the digest is indexed."""
    digests = {key.rpartition("/")[2].partition("-")[0] for key in keys}
    images = select(Image.blob_key).where(Image.sha256.in_(digests))
    versions = select(ModelVersion.checkpoint_key).where(
        ModelVersion.checkpoint_sha256.in_(digests)
    )
    return {*session.scalars(images), *session.scalars(versions)}


def keys_of_open_jobs(session: Session) -> list[str]:
    """Return the uploads and saved states that unfinished jobs need."""
    over = (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)
    jobs = session.scalars(select(Job).where(Job.status.not_in(over)))
    found = ((key_in(job.params, UPLOAD_KEY), key_in(job.resume, STATE_KEY)) for job in jobs)
    return [key for keys in found for key in keys if key is not None]


def _pages(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while page := list(islice(items, size)):
        yield page
