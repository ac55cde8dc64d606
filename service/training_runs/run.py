"""The retrain job: rounds of mining, training, scoring, measuring and deciding."""

from collections.abc import Sequence

from hardneg.schemas.training_runs import RetrainRequest
from service.jobs.kind import JobResult
from service.jobs.resources import job_resources
from service.jobs.running import RunningJob
from service.tables import TrainingRun
from service.training_runs import store
from service.training_runs.deciding import has_improved
from service.training_runs.freezing import freeze_training_list
from service.training_runs.holding import examine_candidates
from service.training_runs.judging import judge_candidate
from service.training_runs.look_alikes import NO_LOOK_ALIKES, find_look_alikes
from service.training_runs.retraining import Retraining
from service.training_runs.scoring import score_unscored_images
from service.training_runs.training import train_version
from service.training_runs.training_state import forget_state


def run_retrain(job: RunningJob) -> JobResult:
    """
    Run a retrain job, from the point where an earlier attempt stopped.

    Each round is a row of `training_runs`: it is added with its frozen training list before the
    training, and finished with its decision in the transaction that promotes its version.
    """
    request = RetrainRequest.model_validate(job.params)
    with job_resources(job, job.fenced) as resources:
        runs, why_ended = _run_rounds(Retraining(job, request, resources))
    job.log(why_ended)
    return _result(runs, why_ended)


def _run_rounds(retraining: Retraining) -> tuple[Sequence[TrainingRun], str]:
    """Return the run of each round, and the reason why there was no further round."""
    num_rounds = retraining.request.iterations
    with retraining.resources.read_sessions.begin() as session:
        runs = list(store.runs_of_job(session, retraining.job.id))
    for iteration in range(1, num_rounds + 1):
        if iteration > len(runs):
            started = _start_round(retraining, iteration, runs)
            if started is None:
                return runs, f"the pool has no new negatives for round {iteration}"
            runs.append(started)
        run = runs[iteration - 1]
        if run.finished_at is None:
            _finish_round(retraining, run)
        if iteration < num_rounds and not has_improved(retraining, run):
            return runs, f"round {iteration} brought neither a higher AP nor fewer false detections"
    return runs, "all rounds are done"


def _start_round(
    retraining: Retraining, iteration: int, earlier: Sequence[TrainingRun]
) -> TrainingRun | None:
    """Score with the parent version, test, and freeze; None if the list would have nothing new."""
    parent_id = _parent_id(retraining.request, earlier)
    holding, look_alikes = None, NO_LOOK_ALIKES
    if parent_id is not None:
        stage = f"round {iteration}: scoring with the parent version"
        score_unscored_images(retraining.job, retraining.resources, parent_id, stage)
        look_alikes = find_look_alikes(retraining, iteration, parent_id)
        holding = examine_candidates(retraining, iteration, parent_id, look_alikes)
    return freeze_training_list(retraining, iteration, parent_id, holding, look_alikes)


def _parent_id(request: RetrainRequest, earlier: Sequence[TrainingRun]) -> int | None:
    if earlier:
        return earlier[-1].model_version_id
    return int(request.start_from) if request.start_from else None


def _finish_round(retraining: Retraining, run: TrainingRun) -> None:
    """Train, score, measure and decide. Each stage skips the work of an earlier attempt."""
    if run.model_version_id is None:
        train_version(retraining, run)
    judge_candidate(retraining, run, f"round {run.iteration}")
    forget_state(retraining.job)


def _result(runs: Sequence[TrainingRun], why_ended: str) -> JobResult:
    return {
        "why_ended": why_ended,
        "rounds": [
            {
                "run_id": run.id,
                "model_version_id": run.model_version_id,
                "decision": run.decision,
                "verdict": run.decision,  # the old name, answered for one release
                "reason": run.reason,
            }
            for run in runs
        ],
    }
