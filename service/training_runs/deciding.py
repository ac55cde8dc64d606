"""Deciding whether a round's new version serves, and whether another round follows."""

from sqlalchemy.orm import Session

from hardneg.schemas.stats import Figures
from service.evaluation.figures import compare_versions, find_figures, save_figures
from service.jobs.running import TransientError
from service.serving import store as serving_store
from service.tables import ModelVersion, TrainingRun, utc_now
from service.training_runs.measuring import Contenders
from service.training_runs.promotion import ReasonedDecision, decide, is_better
from service.training_runs.retraining import Retraining
from service.webhooks.outbox import EventType, emit


def decide_promotion(retraining: Retraining, contenders: Contenders) -> ReasonedDecision:
    """Apply the request's promotion rule to the candidate, against the serving version."""
    candidate, serving = contenders.candidate, contenders.serving
    comparison = None
    if serving is not None and serving.id != candidate.id:
        with retraining.resources.read_sessions.begin() as session:
            comparison = compare_versions(session, candidate, serving)
    return decide(
        retraining.request.promotion,
        comparison,
        serves_any=serving is not None,
        ap_margin=retraining.request.ap_margin,
    )


def save_decision(
    retraining: Retraining,
    run: TrainingRun,
    contenders: Contenders,
    figures: Figures,
    decided: ReasonedDecision,
    name: str,
) -> None:
    """
    Save the figures, finish the run and activate a promoted candidate, in one transaction.

    `name` opens the line of the job's history. Raises TransientError if another version serves
    than the one that the candidate was compared with.
    """
    candidate, compared = contenders.candidate, contenders.serving
    with retraining.job.transaction() as session:
        serving = serving_store.serving_version(session)
        if _id_of(serving) != _id_of(compared):
            raise TransientError("another version was activated while this one was measured")
        save_figures(session, candidate.id, figures)
        if decided.decision == "promoted":
            serving_store.add_activation(session, candidate.id)
        run.decision, run.reason = decided.decision, decided.reason
        run.finished_at = utc_now()
        emit_decision(session, run, candidate)
        session.merge(run)
        retraining.job.log_in(
            session,
            f"{name}: version '{candidate.name}' is {decided.decision}: {decided.reason}",
            {"run_id": run.id, "figures": figures.model_dump(mode="json")},
        )


def emit_decision(session: Session, run: TrainingRun, candidate: ModelVersion) -> None:
    """Tell other systems of a version that was promoted or refused, with the reason."""
    if run.decision not in ("promoted", "refused"):
        return
    data = {"version": candidate.name, "training_run_id": run.id, "reason": run.reason}
    is_promoted = run.decision == "promoted"
    event_type: EventType = "version-promoted" if is_promoted else "version-refused"
    emit(session, event_type, f"model version {candidate.id}", data)


def _id_of(version: ModelVersion | None) -> int | None:
    return None if version is None else version.id


def has_improved(retraining: Retraining, run: TrainingRun) -> bool:
    """Return whether a round improved on its parent version, as far as both were measured."""
    if run.parent_version_id is None or run.model_version_id is None:
        return True
    with retraining.resources.read_sessions.begin() as session:
        now = find_figures(session, run.model_version_id)
        before = find_figures(session, run.parent_version_id)
    return now is None or before is None or is_better(now, before)
