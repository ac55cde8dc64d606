"""Measuring a round's new version, and its parent version again."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from hardneg.schemas.stats import Figures
from service.evaluation.figures import (
    compare_with_parent,
    figures_of,
    find_figures,
    save_figures,
)
from service.model_versions import store as version_store
from service.serving import store as serving_store
from service.tables import ModelVersion, TrainingRun
from service.training_runs.retraining import Retraining


@dataclass(frozen=True, slots=True)
class Contenders:
    """
    A round's new version and those that it is compared with.

    Attributes:
        candidate: the new version.
        parent: the version that its training started from, if there was one.
        serving: the version that serves now, if there is one; it may be one of the other two.
    """

    candidate: ModelVersion
    parent: ModelVersion | None
    serving: ModelVersion | None


def find_contenders(retraining: Retraining, run: TrainingRun) -> Contenders:
    with retraining.resources.read_sessions.begin() as session:
        return Contenders(
            candidate=_get_version(session, run.model_version_id),
            parent=_get_version(session, run.parent_version_id) if run.parent_version_id else None,
            serving=serving_store.serving_version(session),
        )


def _get_version(session: Session, version_id: int | None) -> ModelVersion:
    assert version_id is not None
    version = version_store.find_version(session, version_id)
    assert version is not None  # versions are never deleted
    return version


def measure(retraining: Retraining, contenders: Contenders) -> Figures:
    """
    Measure the candidate, and compare it with its parent.

    The parent is measured again and its figures saved, so that both rest on today's images.
    """
    candidate, parent = contenders.candidate, contenders.parent
    with retraining.resources.read_sessions.begin() as session:
        figures = figures_of(session, candidate)
        if parent is None:
            return figures
        figures = compare_with_parent(session, figures, candidate, parent)
        parent_figures = figures_of(session, parent)
        known = find_figures(session, parent.id)
    if known is not None:  # compared with its own parent, which is not at hand
        kept = known.model_dump(include={"comparison", "operating_threshold"})
        parent_figures = Figures.model_validate(parent_figures.model_dump() | kept)
    with retraining.job.transaction() as session:
        save_figures(session, parent.id, parent_figures)
    return figures
