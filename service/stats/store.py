"""SQL for what versions were measured on, and at."""

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from service.tables import (
    ModelVersion,
    TrainingRun,
    VersionEvaluation,
)


def versions_with_runs(
    session: Session, after_id: int, limit: int
) -> Sequence[tuple[ModelVersion, VersionEvaluation | None, TrainingRun | None]]:
    """Versions in order of id, each with its evaluation and the last run that it came out of."""
    later = aliased(TrainingRun)
    is_last = ~exists().where(
        later.model_version_id == TrainingRun.model_version_id, later.id > TrainingRun.id
    )
    rows = session.execute(
        select(ModelVersion, VersionEvaluation, TrainingRun)
        .outerjoin(VersionEvaluation, VersionEvaluation.model_version_id == ModelVersion.id)
        .outerjoin(TrainingRun, (TrainingRun.model_version_id == ModelVersion.id) & is_last)
        .where(ModelVersion.id > after_id)
        .order_by(ModelVersion.id)
        .limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in rows]
