"""The checks before the service listens: a start that would do harm is refused with the remedy."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from service import migrate
from service.blobs import BlobStore
from service.db import open_engine
from service.hosts import is_loopback
from service.settings import Settings
from service.tables import ApiKey
from service.upkeep.restore import has_data


class StartRefused(Exception):
    """The service must not start like this; the text says what to do."""


def check_start(settings: Settings) -> None:
    """Bring the database up to date and check what it holds. Raises StartRefused."""
    engine = open_engine(settings.sqlalchemy_url)
    try:
        migrate.upgrade(engine)
        with Session(engine) as session:
            _check_key(session, settings)
            _check_blobs(session, settings)
    finally:
        engine.dispose()


def _check_blobs(session: Session, settings: Settings) -> None:
    """Refuse an empty database beside blobs: it was lost, or another one is meant."""
    if has_data(session):
        return
    blobs = BlobStore(settings.blob_store_url)
    if any(blob.key.startswith(("images/", "checkpoints/")) for blob in blobs.list_all()):
        raise StartRefused(
            "the database is empty, but the blob store has images or checkpoints: the database "
            "was lost, or another one is meant. Set HARDNEG_DATA_DIR or HARDNEG_DATABASE_URL to "
            "the right one, or run 'hardneg restore FOLDER' with a backup; to start anew, move the "
            "blobs away or run 'hardneg fsck --delete-orphans'"
        )


def _check_key(session: Session, settings: Settings) -> None:
    if settings.api_key is not None or settings.oidc_issuer or is_loopback(settings.host):
        return
    if session.scalar(select(ApiKey.id).limit(1)) is None:
        raise StartRefused(
            f"a key is required to listen on {settings.host}: create one with 'hardneg keys create "
            "--name NAME --role admin', or set HARDNEG_API_KEY, or HARDNEG_HOST=127.0.0.1"
        )
