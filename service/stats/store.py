"""SQL for versions with their figures and runs."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from service.tables import ModelVersion, TrainingRun, VersionEvaluation


class VersionRow(NamedTuple):
    """A version, its figures if it was measured, and the last run that it came from, if any."""

    version: ModelVersion
    evaluation: VersionEvaluation | None
    run: TrainingRun | None


def versions_with_runs(session: Session, after_id: int, limit: int) -> Sequence[VersionRow]:
    """Return a page of versions, in order of id."""
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
    return [VersionRow(*row) for row in rows]
