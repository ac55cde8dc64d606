"""The way back from a backup to an empty service."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from service import migrate
from service.blobs import BlobStore, file_sha256
from service.db import open_sessions, read_only
from service.tables import Image, Job, ModelVersion
from service.upkeep.backup import (
    BLOBS,
    DATABASE,
    FORMAT_VERSION,
    MANIFEST,
    copy_rows,
    last_ids,
    opened,
    set_last_ids,
    snapshot,
)
from service.upkeep.expected import expected_blobs, keys_of_open_jobs


class NotRestorable(Exception):
    """A backup is not whole, or the service that it should go to is not empty."""


def restore(folder: Path, engine: Engine, blobs: BlobStore) -> int:
    """
    Fill an empty service from a backup, and return how many blobs it has.

    Every blob is compared with its digest before it is put. Blobs come first and all rows in one
    transaction: a restore that was broken off can be run again.

    Raises:
        NotRestorable: The backup is damaged or not whole, or the service has data already.
    """
    _check_manifest(folder)
    migrate.upgrade(engine)
    with Session(engine) as session:
        if has_data(session):
            raise NotRestorable(
                "the database has images, versions or jobs already: restore into an empty one"
            )
    with TemporaryDirectory(prefix="hardneg-") as temporary:
        copied = Path(temporary) / DATABASE  # a newer schema may be needed than it has
        shutil.copyfile(folder / DATABASE, copied)
        with opened(copied) as saved:
            migrate.upgrade(saved)
            num_blobs = _put_blobs(folder, saved, blobs)
            with snapshot(saved) as source, engine.begin() as target:
                copy_rows(source, target)
                set_last_ids(target, last_ids(source))
    return num_blobs


def has_data(session: Session) -> bool:
    """Return whether the database has any image, model version or job."""
    ids = (Image.id, ModelVersion.id, Job.id)
    return any(session.scalar(select(column).limit(1)) is not None for column in ids)


def _check_manifest(folder: Path) -> None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        with (folder / DATABASE).open("rb") as file:
            digest = file_sha256(file)
    except FileNotFoundError as error:
        raise NotRestorable(
            f"{folder} holds no whole backup: '{Path(str(error.filename)).name}' is missing"
        ) from error
    except ValueError as error:
        raise NotRestorable(f"the manifest of {folder} is not JSON: {error}") from error
    if manifest.get("format") != FORMAT_VERSION:
        raise NotRestorable(f"the backup has the format {manifest.get('format')!r}, not 1")
    if digest != manifest.get("database_sha256"):
        raise NotRestorable(f"{folder / DATABASE} is damaged: its digest differs")


def _put_blobs(folder: Path, saved: Engine, blobs: BlobStore) -> int:
    sessions = open_sessions(read_only(saved))
    num_blobs = 0
    for blob in expected_blobs(sessions):
        path = folder / BLOBS / blob.key
        try:
            with path.open("rb") as file:
                if file_sha256(file) != blob.sha256:
                    raise NotRestorable(f"{path} is damaged: its digest differs")
                file.seek(0)
                blobs.put(blob.key, file)
        except FileNotFoundError as error:
            raise NotRestorable(f"the backup lacks the blob of {blob.subject}: {path}") from error
        num_blobs += 1
    with sessions.begin() as session:
        keys = keys_of_open_jobs(session)
    for key in keys:
        if (folder / BLOBS / key).is_file():
            blobs.put(key, (folder / BLOBS / key).read_bytes())
    return num_blobs
