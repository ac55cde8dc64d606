"""The measure job: score with a version, measure it, and decide on the result of a run."""

from hardneg.schemas.training_runs import RetrainRequest
from service.evaluation.figures import figures_of, save_figures
from service.jobs.kind import JobResult
from service.jobs.resources import job_resources
from service.jobs.running import RunningJob
from service.model_versions import service as version_service
from service.scoring.resources import Resources
from service.scoring.splits import MEASURED_SPLITS
from service.training_runs import service as run_service
from service.training_runs.judging import judge_candidate
from service.training_runs.retraining import Retraining
from service.training_runs.scoring import score_unscored_images
from service.version_uploads.job import MeasureParams
from service.version_uploads.preprocessing import check_preprocessing


def run_measure(job: RunningJob) -> JobResult:
    """Measure a version, from the point where an earlier attempt stopped."""
    params = MeasureParams.model_validate(job.params)
    with job_resources(job, job.fenced) as resources:
        if params.run_id is None:
            _measure_alone(job, resources, params.model_version_id)
            result: JobResult = {}
        else:
            result = _judge(job, resources, params.run_id)
        check_preprocessing(job, resources, params.model_version_id)
    return {"model_version_id": params.model_version_id, **result}


def _measure_alone(job: RunningJob, resources: Resources, version_id: int) -> None:
    stage = "scoring val and the sealed images"
    score_unscored_images(job, resources, version_id, stage, MEASURED_SPLITS)
    job.progress("measuring", 0)
    with resources.read_sessions.begin() as session:
        version = version_service.get_version(session, str(version_id))
        figures = figures_of(session, version)
    with job.transaction() as session:
        save_figures(session, version_id, figures)
        ap = figures.ap50_95.value if figures.ap50_95 else None
        ap_text = "without objects on val" if ap is None else f"AP@[.5:.95] {ap:.3f}"
        job.log_in(
            session,
            f"version '{version.name}' is measured: {ap_text}",
            {"figures": figures.model_dump(mode="json")},
        )


def _judge(job: RunningJob, resources: Resources, run_id: int) -> JobResult:
    with resources.read_sessions.begin() as session:
        run = run_service.get_run(session, run_id)
    # A frozen list has no recipe: the fields of a training keep their defaults, unused.
    request = RetrainRequest.model_validate(run.params)
    if run.finished_at is None:
        judge_candidate(Retraining(job, request, resources), run, f"run {run_id}")
    return {"run_id": run_id, "decision": run.decision, "reason": run.reason}
