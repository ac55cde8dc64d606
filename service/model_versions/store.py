"""SQL for model versions."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.tables import ModelVersion, VersionEvaluation


def find_version(session: Session, version_id: int) -> ModelVersion | None:
    """Return the version with this id, if there is one."""
    return session.get(ModelVersion, version_id)


def find_by_name(session: Session, name: str) -> ModelVersion | None:
    """Return the version with this name, if there is one."""
    return session.scalars(select(ModelVersion).where(ModelVersion.name == name)).one_or_none()


def find_by_digest(session: Session, sha256: str) -> ModelVersion | None:
    """Return the version whose checkpoint has this digest, if there is one."""
    return session.scalars(
        select(ModelVersion).where(ModelVersion.checkpoint_sha256 == sha256)
    ).one_or_none()


def find_evaluation(session: Session, version_id: int) -> VersionEvaluation | None:
    """Return the last measurement of a version, if it was measured."""
    return session.get(VersionEvaluation, version_id)


def list_versions(session: Session) -> Sequence[ModelVersion]:
    """Return all versions, newest first."""
    return session.scalars(select(ModelVersion).order_by(ModelVersion.id.desc())).all()


def add_version(session: Session, version: ModelVersion) -> None:
    """Insert a version, which has its id then."""
    session.add(version)
    session.flush()
