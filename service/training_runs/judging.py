"""Judging a new version: it is scored, measured, and promoted or refused."""

from service.scoring.splits import MEASURED_SPLITS
from service.tables import TrainingRun
from service.training_runs.deciding import decide_promotion, save_decision
from service.training_runs.measuring import find_contenders, measure
from service.training_runs.retraining import Retraining
from service.training_runs.scoring import score_unscored_images


def judge_candidate(retraining: Retraining, run: TrainingRun, name: str) -> None:
    """
    Score the pool and the measured images with a run's version, and decide whether it serves.

    `name` opens the lines of the job's history. Raises Stopped, and TransientError where another
    attempt may succeed.
    """
    job, resources = retraining.job, retraining.resources
    contenders = find_contenders(retraining, run)
    candidate = contenders.candidate
    score_unscored_images(job, resources, candidate.id, f"{name}: scoring with the candidate")
    for role, version in (("parent", contenders.parent), ("serving", contenders.serving)):
        if version is not None:
            stage = f"{name}: scoring with the {role} version"
            score_unscored_images(job, resources, version.id, stage, MEASURED_SPLITS)

    job.progress(f"{name}: measuring", 0)
    figures = measure(retraining, contenders)
    decision = decide_promotion(retraining, contenders)
    save_decision(retraining, run, contenders, figures, decision, name)
