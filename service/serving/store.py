"""SQL for activations: the version of the last one serves."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.audit.store import record
from service.tables import Activation, ModelVersion


def serving_version(session: Session) -> ModelVersion | None:
    return session.scalars(
        select(ModelVersion).join(Activation).order_by(Activation.id.desc()).limit(1)
    ).one_or_none()


def version_before(session: Session, version_id: int) -> int | None:
    """Return the id of the version that served before the last activation of this one."""
    last = select(func.max(Activation.id)).where(Activation.model_version_id == version_id)
    return session.scalars(
        select(Activation.model_version_id)
        .where(Activation.id < last.scalar_subquery(), Activation.model_version_id != version_id)
        .order_by(Activation.id.desc())
        .limit(1)
    ).one_or_none()


def last_activation_id(session: Session) -> int | None:
    return session.scalar(select(func.max(Activation.id)))


def versions_that_served(session: Session) -> set[int]:
    """Return the ids of all versions that serve or have served."""
    return set(session.scalars(select(Activation.model_version_id).distinct()))


def add_activation(session: Session, version_id: int) -> None:
    """Let a version serve from the commit on, and record it in the audit."""
    serving = serving_version(session)
    session.add(Activation(model_version_id=version_id))
    record(
        session,
        "activate-version",
        f"model version {version_id}",
        before={"serving": serving and serving.id},
        after={"serving": version_id},
    )
