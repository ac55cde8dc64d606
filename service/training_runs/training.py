"""The training of one frozen list, which ends in a new model version."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from hardneg.schemas.stats import finite
from models.inference.device import select_device
from models.training.reports import EpochReport, StepReport
from service.jobs.running import RunningJob, TransientError
from service.model_versions.service import NameTaken, register_checkpoint
from service.scoring.scorer import decode_limits
from service.tables import TrainingRun
from service.training_runs.retraining import Retraining
from service.training_runs.task import TrainingTask
from service.training_runs.torchrun import num_processes, run_in_processes
from service.training_runs.training_inputs import detector_to_train, training_config, training_sets
from service.training_runs.training_state import StoredTrainingState
from service.training_runs.trying_recipes import train_best_recipe

WriteEpoch = Callable[[EpochReport], None]


def train_version(retraining: Retraining, run: TrainingRun) -> None:
    """
    Train on a run's frozen list, and add the weights of the best epoch as a new version.

    With recipes to try, the new version is that of the best recipe.

    The training resumes after the last epoch that an earlier attempt has finished.

    Raises:
        Stopped: the state of the training is saved.
        NonFiniteLossError: the training diverged.
    """
    with TemporaryDirectory(prefix="hardneg-") as folder:
        path = Path(folder) / "trained.safetensors"
        train_run = _train if run.recipes is None else train_best_recipe
        history = train_run(retraining, run, path)
        version_id = _add_version(retraining, run, path)
    with retraining.job.transaction() as session:
        run.model_version_id = version_id
        run.history = [_epoch(report) for report in history]
        session.merge(run)


def _train(retraining: Retraining, run: TrainingRun, path: Path) -> Sequence[EpochReport]:
    """Train to the end, save the best epoch's checkpoint at `path`, and return all epochs."""
    job, request = retraining.job, retraining.request
    config = training_config(request, is_fresh=run.parent_version_id is None)
    device = select_device(job.settings.device)
    processes = num_processes(job.settings, config.batch_size)
    detector = detector_to_train(retraining, run, str(device) if processes == 1 else "cpu")
    state = StoredTrainingState(job, run.id, path.parent)
    task = TrainingTask(
        detector=detector,
        device=device,
        sets=training_sets(retraining.resources, run, detector.spec.class_names),
        config=config,
        state_path=state.path,
        resume_from=state.fetch(),
        checkpoint_path=path,
        decoding=decode_limits(job.settings),
    )

    def on_step(report: StepReport) -> None:
        job.progress(f"round {run.iteration}: training", report.step, report.num_steps)

    def on_epoch(report: EpochReport) -> None:
        state.save()
        write_epoch(report)
        _log_epoch(job, run, report)

    with _tensorboard(job, run) as write_epoch:
        if processes == 1:
            result = task.run(on_epoch=on_epoch, on_step=on_step, should_stop=job.should_stop)
        else:
            job.log(f"round {run.iteration}: training in {processes} processes")
            result = run_in_processes(task, processes, job, on_epoch=on_epoch, on_step=on_step)
    if result.outcome == "cancelled":
        state.save()
        job.raise_if_stopped()
        raise TransientError("the training stopped, but the reason to stop is gone")
    return result.history


def _add_version(retraining: Retraining, run: TrainingRun, path: Path) -> int:
    """Add the checkpoint as a version, with an automatic name if the requested one is taken."""
    request, resources = retraining.request, retraining.resources
    name = request.name
    if name is not None and request.iterations > 1:
        name = f"{name}-{run.iteration}"
    parent_id = run.parent_version_id
    try:
        version, _ = register_checkpoint(
            resources.sessions, resources.blobs, path, name=name, parent_id=parent_id
        )
    except NameTaken:  # by another request during the training, which must not be lost
        version, _ = register_checkpoint(
            resources.sessions, resources.blobs, path, parent_id=parent_id
        )
    return version.id


@contextmanager
def _tensorboard(job: RunningJob, run: TrainingRun) -> Iterator[WriteEpoch]:
    """Yield a function that logs an epoch for TensorBoard; it does nothing without a folder."""
    folder = job.settings.tensorboard_dir
    if folder is None:
        yield lambda _: None
        return
    from models.training.tensorboard import tensorboard_log

    with tensorboard_log(folder / f"job-{job.id}-round-{run.iteration}") as write:
        yield write


def _log_epoch(job: RunningJob, run: TrainingRun, report: EpochReport) -> None:
    data = _epoch(report)
    losses = ", ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
    ap_text = "" if data["ap50_95"] is None else f", AP@[.5:.95] {report.ap50_95:.3f}"
    job.log(
        f"round {run.iteration}, epoch {report.epoch} of {report.num_epochs}: {losses}{ap_text}",
        {"run_id": run.id, **data},
    )


def _epoch(report: EpochReport) -> dict[str, object]:
    """Return an epoch's report as JSON values: null for what is not finite."""
    return {
        **asdict(report),
        "losses": {name: finite(value) for name, value in report.losses.items()},
        "ap50_95": finite(report.ap50_95),
        "ap50": finite(report.ap50),
    }
