"""One training of a frozen list, stopped and gone on with as its job is."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import torch

from hardneg.schemas.stats import finite
from hardneg.schemas.training_runs import AugmentationChoice, RetrainRequest
from models.data.augmentation import NO_AUGMENTATION, Augmentation
from models.data.datasets import LabelledImage
from models.data.ground_truth import GroundTruth
from models.detectors import Detector, build
from models.detectors.checkpoint import save_checkpoint
from models.inference.device import select_device
from models.sampling import SamplerSpec, build_sampler
from models.training.config import TrainingConfig
from models.training.loop import train
from models.training.reports import EpochReport, StepReport
from service.evaluation.store import boxes_in
from service.jobs.leftovers import delete_leftovers
from service.jobs.running import RunningJob, TransientError
from service.model_versions import store as version_store
from service.serving.loading import load_detector
from service.tables import Image, LabelledBox, TrainingRun
from service.training_runs import store

FINE_TUNING_RATE = 5e-4
FRESH_RATE = 2e-3

AUGMENTATIONS = {
    AugmentationChoice.STANDARD: Augmentation(),
    AugmentationChoice.UNMIRRORED: Augmentation(flip_probability=0),
    AugmentationChoice.NONE: NO_AUGMENTATION,
}


@dataclass(frozen=True, slots=True)
class TrainingSets:
    """What a run trains on, and what chooses its best epoch."""

    labelled: list[LabelledImage]
    negatives: list[LabelledImage]
    val: list[LabelledImage]


def train_run(
    job: RunningJob, run: TrainingRun, request: RetrainRequest, folder: Path
) -> tuple[Path, list[dict[str, object]]]:
    """
    Train to the end; the checkpoint of the best epoch, and what each epoch came to.

    Goes on after the last epoch that a dead worker has finished.

    Raises Stopped when the job has to stop, with its state saved; NonFiniteLossError.
    """
    detector = _start_detector(job, run, request)
    sets = _training_sets(job, run, detector.spec.class_names)
    states = _States(job, run, folder)
    with _tensorboard(job, run) as write:
        result = train(
            detector,
            sets.labelled,
            sets.negatives,
            sets.val,
            _config(request, is_fresh=run.start_version_id is None),
            on_epoch=partial(_on_epoch, job, run, states, write),
            on_step=partial(_on_step, job, run),
            should_stop=job.should_stop,
            state_path=states.path,
            resume_from=states.fetch(),
        )
    if result.outcome == "cancelled":
        states.keep()
        job.raise_if_stopped()
        raise TransientError("the training was stopped, and nobody wants that any more")
    path = folder / "trained.safetensors"
    save_checkpoint(detector, path)
    return path, [_epoch(report) for report in result.history]


class _States:
    """The training state in the blob store, where another worker finds it."""

    def __init__(self, job: RunningJob, run: TrainingRun, folder: Path) -> None:
        self.path = folder / "state.safetensors"
        self._job = job
        self._run_id = run.id

    def fetch(self) -> Path | None:
        key = state_key(self._job)
        if key is None or (self._job.resume or {}).get("run_id") != self._run_id:
            return None
        self._job.blobs.copy_to_file(key, self.path)
        return self.path

    def keep(self) -> None:
        """Raises LeaseLost; the state before this one is kept then."""
        before = state_key(self._job)
        key = f"training/{self._run_id}/{uuid4().hex}.safetensors"
        with self.path.open("rb") as file:
            self._job.blobs.put(key, file)
        self._job.save_resume({"run_id": self._run_id, "state_key": key})
        if before is not None:
            self._job.blobs.delete(before)


def state_key(job: RunningJob) -> str | None:
    """Where the job's training state is kept."""
    key = (job.resume or {}).get("state_key")
    return key if isinstance(key, str) else None


def forget_state(job: RunningJob) -> None:
    """Delete the training state, which nobody will go on with. Raises LeaseLost."""
    resume = job.resume
    job.save_resume({})
    delete_leftovers(job.blobs, {}, resume)


@contextmanager
def _tensorboard(job: RunningJob, run: TrainingRun) -> Iterator[Callable[[EpochReport], None]]:
    """Logs each epoch where the settings want it."""
    folder = job.settings.tensorboard_dir
    if folder is None:
        yield lambda _: None
        return
    from models.training.tensorboard import tensorboard_log

    with tensorboard_log(folder / f"job-{job.id}-round-{run.iteration}") as write:
        yield write


def _on_epoch(
    job: RunningJob,
    run: TrainingRun,
    states: _States,
    write: Callable[[EpochReport], None],
    report: EpochReport,
) -> None:
    states.keep()
    write(report)
    data = _epoch(report)
    losses = ", ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
    ap_text = "" if data["ap50_95"] is None else f", AP@[.5:.95] {report.ap50_95:.3f}"
    job.log(
        f"round {run.iteration}, epoch {report.epoch} of {report.num_epochs}: {losses}{ap_text}",
        {"run_id": run.id, **data},
    )


def _on_step(job: RunningJob, run: TrainingRun, report: StepReport) -> None:
    job.progress(f"round {run.iteration}: training", report.step, report.num_steps)


def _epoch(report: EpochReport) -> dict[str, object]:
    return {
        **asdict(report),
        "losses": {name: finite(value) for name, value in report.losses.items()},
        "ap50_95": finite(report.ap50_95),
        "ap50": finite(report.ap50),
    }


def _start_detector(job: RunningJob, run: TrainingRun, request: RetrainRequest) -> Detector:
    if run.start_version_id is None:
        assert request.architecture is not None
        with job.read_sessions.begin() as session:
            class_names = store.train_class_names(session)
        torch.manual_seed(request.seed)
        detector = build(
            request.architecture,
            class_names,
            weights=request.weights,
            input_size=request.input_size,
        ).to(select_device(job.settings.device))
    else:
        with job.read_sessions.begin() as session:
            version = version_store.find_version(session, run.start_version_id)
        assert version is not None
        detector = load_detector(job.blobs, version, job.settings.device)
    if request.negative_weight is not None:
        detector.negative_weight = request.negative_weight
    if request.sampler is not None:
        detector.sampler = build_sampler(SamplerSpec(**request.sampler.model_dump()))
    return detector


def _training_sets(job: RunningJob, run: TrainingRun, class_names: Sequence[str]) -> TrainingSets:
    """Raises ValueError for a frozen list whose images are not all there any more."""
    with job.read_sessions.begin() as session:
        frozen = store.frozen_images(session, run.id)
        train_boxes = boxes_in(session, "train")
        val_boxes = boxes_in(session, "val")
        val_images = store.images_in(session, "val")
    missing = [line.image_id for line, image in frozen if image is None]
    if missing:
        raise ValueError(
            f"image {missing[0]} of the frozen training list was deleted before it was trained on"
        )
    labelled, negatives = [], []
    for line, image in frozen:
        assert image is not None
        if line.role == "labelled":
            truth = _truth(train_boxes.get(image.id, []), class_names)
            labelled.append(_labelled(job, image, truth))
        else:
            negatives.append(_labelled(job, image, GroundTruth.empty()))
    val = [
        _labelled(job, image, _truth(val_boxes.get(image.id, []), class_names))
        for image in val_images
    ]
    return TrainingSets(labelled, negatives, val)


def _labelled(job: RunningJob, image: Image, truth: GroundTruth) -> LabelledImage:
    return LabelledImage(image.sha256, partial(job.blobs.get, image.blob_key), truth)


def _truth(boxes: Sequence[LabelledBox], class_names: Sequence[str]) -> GroundTruth:
    """Objects of classes that the detector does not know are left out."""
    known = [box for box in boxes if box.class_name in class_names]
    return GroundTruth(
        torch.tensor([[b.x1, b.y1, b.x2, b.y2] for b in known]).reshape(-1, 4),
        torch.tensor([class_names.index(b.class_name) + 1 for b in known], dtype=torch.int64),
    )


def _config(request: RetrainRequest, *, is_fresh: bool) -> TrainingConfig:
    return TrainingConfig(
        epochs=request.epochs,
        steps_per_epoch=request.steps_per_epoch,
        batch_size=request.batch_size,
        negative_share=request.negative_share,
        learning_rate=request.learning_rate or (FRESH_RATE if is_fresh else FINE_TUNING_RATE),
        backbone_rate_factor=request.trunk_rate_factor,
        warmup_steps=request.warmup_steps,
        weight_decay=request.weight_decay,
        patience=request.patience,
        augmentation=AUGMENTATIONS[request.augmentation],
        seed=request.seed,
    )
