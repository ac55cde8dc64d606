"""Train a detector on labelled images and mined negatives; stop, resume and repeat exactly."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from models.data.datasets import LabelledImage
from models.data.ground_truth import GroundTruth
from models.detectors import Detector
from models.evaluation.evaluate import Evaluation, EvaluationImages, predict_all
from models.training.batches import (
    Batch,
    PlannedSampler,
    TrainingViews,
    draw_seed,
    load_batches,
    plan_batches,
)
from models.training.config import TrainingConfig
from models.training.distributed import (
    any_process,
    from_first_process,
    gather_shares,
    is_first_process,
    num_processes,
    own_share,
    process_index,
    share_buffers,
    share_gradients,
)
from models.training.reports import (
    EpochReport,
    NonFiniteLossError,
    Outcome,
    StepReport,
    TrainingResult,
)
from models.training.run import RunningTraining
from models.training.schedule import rate_factor, set_learning_rate

STEP_STREAM = 3  # beside the streams of models.training.batches
VIEW_MARGIN = 1.5  # cached images over the network's input, so that crops keep their detail


def train(
    detector: Detector,
    train_set: Sequence[LabelledImage],
    negatives: Sequence[LabelledImage],
    val_set: Sequence[LabelledImage],
    config: TrainingConfig,
    *,
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_step: Callable[[StepReport], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    state_path: Path | None = None,
    resume_from: Path | None = None,
    cache_folder: Path | None = None,
) -> TrainingResult:
    """
    Train the detector in place, on its device.

    Under torchrun, within `models.training.distributed.process_group`, the processes share every
    batch. The detector's sampler must draw from torch's global generators: they are seeded anew
    for each step, and their state outside of this call is unchanged.

    Args:
        detector: with the sampler and the loss weights to train with.
        train_set: labelled images; some may show no object.
        negatives: mined images without objects; may be empty.
        val_set: labelled images that choose the best epoch; without any, the last epoch is best.
        config: how to train.
        on_epoch: called after every epoch, in the first process only.
        on_step: called after every step, in the first process only.
        should_stop: called before every step; True ends the run as "cancelled".
        state_path: file to rewrite after every epoch and on cancelling, for `resume_from`.
        resume_from: such a file, of a run with the same settings and images; the run continues
            as if it had never stopped.
        cache_folder: an empty folder where several processes share their decoded images.

    Raises:
        ValueError: Settings that cannot work, or a state of other settings.
        NonFiniteLossError: A loss or gradient is not finite.
        CheckpointError: The state file is damaged or belongs to another network.
    """
    images = [*train_set, *negatives]
    plan = plan_batches(
        len(train_set),
        len(negatives),
        batch_size=config.batch_size,
        negative_share=config.negative_share,
        seed=config.seed,
    )
    run = RunningTraining(detector, images, plan, config)
    if resume_from is not None:
        run.restore(resume_from)
    val_images = EvaluationImages(detector, own_share(val_set))
    val_truths = [image.truth for image in val_set]
    # The same numbers in another order: a third less time on CPUs, and CUDA kernels like it, too.
    detector.network.to(memory_format=torch.channels_last)
    detector.train()
    with torch.random.fork_rng(devices=_cuda_devices(detector)):
        network = share_gradients(detector)
        steps = range(run.step, run.step if run.is_over else run.num_steps)
        sampler = PlannedSampler(
            plan, steps, process=process_index(), num_processes=num_processes()
        )
        views = TrainingViews(
            detector,
            images,
            config.augmentation,
            _max_side(detector),
            cache_folder=cache_folder,
            num_processes=num_processes(),
        )
        is_cancelled = False
        with closing(load_batches(views, sampler, num_threads=config.num_loaders)) as batches:
            while not run.is_over:
                started = time.monotonic()
                is_cancelled = not train_one_epoch(run, network, batches, on_step, should_stop)
                share_buffers(detector)
                if is_cancelled:
                    _save(run, state_path)
                    break
                ap50_95, ap50 = validate(detector, val_images, val_truths)
                report = run.add_epoch(ap50_95, ap50, time.monotonic() - started)
                _save(run, state_path)
                if on_epoch is not None and is_first_process():
                    on_epoch(report)
    return _finish(run, is_cancelled)


def train_one_epoch(
    run: RunningTraining,
    network: nn.Module,
    batches: Iterator[Batch],
    on_step: Callable[[StepReport], None] | None,
    should_stop: Callable[[], bool] | None,
) -> bool:
    """Take the remaining steps of the epoch. Return False if `should_stop` ended it early."""
    for batch in islice(batches, run.steps_left_in_epoch):
        wants_stop = should_stop is not None and should_stop()
        if any_process(wants_stop, run.detector.device):
            return False
        losses = take_step(run, network, batch)
        run.add_step(losses)
        if on_step is not None and is_first_process():
            on_step(StepReport(run.step, run.num_steps, sum(losses.values())))
    return True


def take_step(run: RunningTraining, network: nn.Module, batch: Batch) -> dict[str, float]:
    """Learn from one batch, and return the parts of its loss by name."""
    config, device = run.config, run.detector.device
    warmup_steps = min(config.warmup_steps, run.num_steps // 2)
    factor = rate_factor(run.step, run.num_steps, warmup_steps, config.final_rate_factor)
    set_learning_rate(run.optimizer, config.learning_rate * factor)
    torch.manual_seed(draw_seed(config.seed, STEP_STREAM, run.step, process_index()))
    with torch.autocast(device.type, run.amp_dtype, enabled=run.amp_dtype is not None):
        parts = network(*batch)
    loss = torch.stack([part.float() for part in parts.values()]).sum()
    losses = {name: float(part.detach()) for name, part in parts.items()}
    _require_finite(run, math.isfinite(float(loss.detach())), losses, "loss")
    _descend(run, loss, losses)
    return losses


def validate(
    detector: Detector, share: EvaluationImages, truths: Sequence[GroundTruth]
) -> tuple[float, float]:
    """
    Return AP@[.5:.95] and AP50, NaN without images.

    Each process scores its share of the images; the first measures while the others wait.

    Args:
        detector: its mode is the same afterwards.
        share: this process's images, see `own_share`.
        truths: objects of the images of all processes.
    """
    figures = (math.nan, math.nan)
    found = gather_shares([each.detections for each in predict_all(detector, share)])
    if is_first_process() and truths:
        evaluation = Evaluation(
            num_classes=len(detector.spec.class_names),
            truths=tuple(truths),
            labelled=tuple(found),
            negatives=(),
        )
        precision = evaluation.average_precision
        figures = (precision.ap50_95, precision.ap50)
    device = detector.device
    return from_first_process(figures[0], device), from_first_process(figures[1], device)


def _descend(run: RunningTraining, loss: Tensor, losses: Mapping[str, float]) -> None:
    run.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(run.scaler.scale(loss))
    run.scaler.unscale_(run.optimizer)
    norm = nn.utils.clip_grad_norm_(run.detector.parameters(), run.config.clip_norm)
    if not run.scaler.is_enabled():  # a scaler skips such steps and lowers its scale
        _require_finite(run, bool(norm.isfinite()), losses, "gradient")
    run.scaler.step(run.optimizer)
    run.scaler.update()


def _require_finite(
    run: RunningTraining, is_finite: bool, losses: Mapping[str, float], what: str
) -> None:
    if any_process(not is_finite, run.detector.device):
        raise NonFiniteLossError(run.step, losses, what)


def _save(run: RunningTraining, path: Path | None) -> None:
    if path is not None and is_first_process():
        run.save(path)


def _finish(run: RunningTraining, is_cancelled: bool) -> TrainingResult:
    """Restore the best epoch's weights, and sum the run up."""
    run.detector.network.to(memory_format=torch.contiguous_format)
    if run.best_weights:
        run.detector.network.load_state_dict(run.best_weights)
    best = run.best_report
    if is_cancelled:
        outcome: Outcome = "cancelled"
    else:
        outcome = "stopped early" if run.is_out_of_patience else "completed"
    return TrainingResult(
        outcome=outcome,
        best_epoch=best.epoch if best else None,
        best_ap50_95=best.ap50_95 if best else math.nan,
        history=tuple(run.history),
    )


def _cuda_devices(detector: Detector) -> list[int | None]:
    return [detector.device.index] if detector.device.type == "cuda" else []


def _max_side(detector: Detector) -> int:
    """Return the longest side, in pixels, at which training images are kept in memory."""
    return math.ceil(VIEW_MARGIN * max(detector.spec.input_size))
