"""SQL for activations: the version of the last one serves."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.tables import Activation, ModelVersion


def serving_version(session: Session) -> ModelVersion | None:
    return session.scalars(
        select(ModelVersion).join(Activation).order_by(Activation.id.desc()).limit(1)
    ).one_or_none()


def add_activation(session: Session, version_id: int) -> None:
    session.add(Activation(model_version_id=version_id))
