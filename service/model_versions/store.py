"""SQL for model versions and which of them serves."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.tables import ModelVersion


def find_version(session: Session, version_id: int) -> ModelVersion | None:
    return session.get(ModelVersion, version_id)


def find_by_name(session: Session, name: str) -> ModelVersion | None:
    return session.scalars(select(ModelVersion).where(ModelVersion.name == name)).one_or_none()


def find_by_digest(session: Session, sha256: str) -> ModelVersion | None:
    return session.scalars(
        select(ModelVersion).where(ModelVersion.checkpoint_sha256 == sha256)
    ).one_or_none()


def list_versions(session: Session) -> Sequence[ModelVersion]:
    """Newest first."""
    return session.scalars(select(ModelVersion).order_by(ModelVersion.id.desc())).all()


def add_version(session: Session, version: ModelVersion) -> None:
    session.add(version)
    session.flush()
