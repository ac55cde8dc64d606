"""Train a detector on labelled images and mined negatives; stop, resume and repeat exactly."""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.data.datasets import LabelledImage
from models.detectors import Detector
from models.detectors.checkpoint import CheckpointError
from models.evaluation.evaluate import Evaluation, EvaluationImages, predict_all
from models.training.batches import (
    Batch,
    PlannedSampler,
    TrainingViews,
    batch_loader,
    draw_seed,
    plan_batches,
)
from models.training.config import TrainingConfig
from models.training.distributed import (
    any_process,
    from_first_process,
    is_first_process,
    num_processes,
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
from models.training.schedule import build_optimizer, rate_factor, set_learning_rate
from models.training.state import (
    TrainingState,
    load_state,
    optimizer_tensors,
    restore_optimizer,
    save_state,
)

STEP_STREAM = 3  # beside the streams of models.batches
PRETRAINED_TRUNK_RATE = 0.1  # share of the others' rate
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
) -> TrainingResult:
    """
    Train the detector in place, on the device that it is on.

    Under torchrun, within `models.distributed.process_group`, the processes share every batch.
    The detector's sampler must draw from torch's global generators, which are seeded afresh for
    each step; outside of this call their state is unchanged.

    Args:
        detector: with its sampler and loss weights as they shall be used.
        train_set: labelled images; some may show no object.
        negatives: mined images without objects; may be empty.
        val_set: labelled images that choose the best epoch; without any it is the last one.
        config: how to train.
        on_epoch: told of every epoch, in the first process only.
        on_step: told of every step, in the first process only.
        should_stop: asked before every step; True ends the run as "cancelled".
        state_path: rewritten after every epoch and on cancelling, for `resume_from`.
        resume_from: such a file of a run with the same settings and as many images; the run goes
            on as if it had never stopped.

    Raises:
        ValueError: Settings that cannot work, or a state of other settings.
        NonFiniteLossError: A loss or gradient is not finite.
        CheckpointError: The state file is damaged or belongs to another network.
    """
    run = _Run(detector, train_set, negatives, val_set, config)
    if resume_from is not None:
        run.restore(load_state(resume_from))
    devices = [detector.device.index] if detector.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        outcome = run.go(on_epoch or _ignore, on_step or _ignore, should_stop or _never, state_path)
    return run.finish(outcome)


class _Run:
    """The changing parts of one training run."""

    def __init__(
        self,
        detector: Detector,
        train_set: Sequence[LabelledImage],
        negatives: Sequence[LabelledImage],
        val_set: Sequence[LabelledImage],
        config: TrainingConfig,
    ) -> None:
        self._detector, self._config = detector, config
        self._images = [*train_set, *negatives]
        self._plan = plan_batches(
            len(train_set),
            len(negatives),
            batch_size=config.batch_size,
            negative_share=config.negative_share,
            seed=config.seed,
        )
        self._steps_per_epoch = config.steps_per_epoch or self._plan.steps_per_pass
        self._num_steps = config.epochs * self._steps_per_epoch
        self._val_images = EvaluationImages(detector, val_set)
        self._optimizer = build_optimizer(
            config.optimizer,
            detector,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            trunk=detector.trunk_parameters,
            trunk_rate_factor=_trunk_rate_factor(detector, config),
        )
        use_amp = config.mixed_precision and detector.device.type == "cuda"
        self._amp_dtype = _amp_dtype() if use_amp else None
        self._scaler = torch.amp.GradScaler("cuda", enabled=self._amp_dtype is torch.float16)
        self._step = 0
        self._loss_sums: dict[str, float] = {}
        self._history: list[EpochReport] = []
        self._best: dict[str, Tensor] = {}

    def go(
        self,
        on_epoch: Callable[[EpochReport], None],
        on_step: Callable[[StepReport], None],
        should_stop: Callable[[], bool],
        state_path: Path | None,
    ) -> Outcome:
        # The same numbers in another order: a third less time on CPUs, and what CUDA kernels like.
        self._detector.network.to(memory_format=torch.channels_last)
        self._detector.train()
        network = share_gradients(self._detector)
        started = time.monotonic()
        for batch in self._batches():
            if any_process(should_stop(), self._detector.device):
                share_buffers(self._detector)
                self._save(state_path)
                return "cancelled"
            loss = self._take_step(network, batch)
            if is_first_process():
                on_step(StepReport(self._step, self._num_steps, loss))
            if self._step % self._steps_per_epoch == 0:
                report = self._end_epoch(time.monotonic() - started)
                started = time.monotonic()
                self._save(state_path)
                if is_first_process():
                    on_epoch(report)
                if self._is_patience_over():
                    return "stopped early"
        return "completed"

    def finish(self, outcome: Outcome) -> TrainingResult:
        self._detector.network.to(memory_format=torch.contiguous_format)
        if self._best:
            self._detector.network.load_state_dict(self._best)
        best = _best(self._history)
        return TrainingResult(
            outcome=outcome,
            best_epoch=best.epoch if best else None,
            best_ap50_95=best.ap50_95 if best else math.nan,
            history=tuple(self._history),
        )

    def _batches(self) -> "torch.utils.data.DataLoader[Any]":
        margin = math.ceil(VIEW_MARGIN * max(self._detector.spec.input_size))
        remaining = range(self._step, 0 if self._is_patience_over() else self._num_steps)
        sampler = PlannedSampler(
            self._plan, remaining, process=process_index(), num_processes=num_processes()
        )
        views = TrainingViews(self._detector, self._images, self._config.augmentation, margin)
        return batch_loader(views, sampler, num_workers=self._config.num_workers)

    def _take_step(self, network: nn.Module, batch: Batch) -> float:
        config = self._config
        factor = rate_factor(
            self._step,
            self._num_steps,
            min(config.warmup_steps, self._num_steps // 2),
            config.final_rate_factor,
        )
        set_learning_rate(self._optimizer, config.learning_rate * factor)
        torch.manual_seed(draw_seed(config.seed, STEP_STREAM, self._step, process_index()))
        device_type = self._detector.device.type
        with torch.autocast(device_type, self._amp_dtype, enabled=self._amp_dtype is not None):
            losses = network(*batch)
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
        parts = {name: float(loss.detach()) for name, loss in losses.items()}
        self._require_finite(math.isfinite(float(total.detach())), parts, "loss")
        self._update(total, parts)
        for name, value in parts.items():
            self._loss_sums[name] = self._loss_sums.get(name, 0.0) + value
        self._step += 1
        return sum(parts.values())

    def _update(self, total: Tensor, parts: Mapping[str, float]) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self._scaler.scale(total))
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._detector.parameters(), self._config.clip_norm)
        if not self._scaler.is_enabled():  # a scaler skips such steps and lowers its scale
            self._require_finite(bool(norm.isfinite()), parts, "gradient")
        self._scaler.step(self._optimizer)
        self._scaler.update()

    def _require_finite(self, is_finite: bool, parts: Mapping[str, float], what: str) -> None:
        if any_process(not is_finite, self._detector.device):
            raise NonFiniteLossError(self._step, parts, what)

    def _end_epoch(self, duration_s: float) -> EpochReport:
        started = time.monotonic()
        share_buffers(self._detector)
        ap50_95, ap50 = self._validate()
        best = _best(self._history)
        is_best = best is None or math.isnan(ap50_95) or ap50_95 > best.ap50_95
        if is_best:
            self._best = _copy(self._detector.network.state_dict())
        report = EpochReport(
            epoch=len(self._history) + 1,
            num_epochs=self._config.epochs,
            step=self._step,
            losses={name: value / self._steps_per_epoch for name, value in self._loss_sums.items()},
            learning_rate=max(group["lr"] for group in self._optimizer.param_groups),
            ap50_95=ap50_95,
            ap50=ap50,
            is_best=is_best,
            duration_s=duration_s + time.monotonic() - started,
        )
        self._history.append(report)
        self._loss_sums = {}
        return report

    def _validate(self) -> tuple[float, float]:
        """AP@[.5:.95] and AP50, measured by the first process while the others wait."""
        figures = (math.nan, math.nan)
        if is_first_process() and len(self._val_images):
            found = predict_all(self._detector, self._val_images)
            evaluation = Evaluation(
                num_classes=len(self._detector.spec.class_names),
                truths=tuple(self._val_images.truths),
                labelled=tuple(prediction.detections for prediction in found),
                negatives=(),
            )
            precision = evaluation.average_precision
            figures = (precision.ap50_95, precision.ap50)
        device = self._detector.device
        return from_first_process(figures[0], device), from_first_process(figures[1], device)

    def _is_patience_over(self) -> bool:
        best = _best(self._history)
        if self._config.patience is None or best is None:
            return False
        return len(self._history) - best.epoch >= self._config.patience

    def _save(self, path: Path | None) -> None:
        if path is None or not is_first_process():
            return
        progress = {
            "settings": self._settings(),
            "step": self._step,
            "loss_sums": self._loss_sums,
            "history": [dataclasses.asdict(report) for report in self._history],
            "scaler": self._scaler.state_dict(),
        }
        network = self._detector.network.state_dict()
        memory = optimizer_tensors(self._optimizer)
        save_state(TrainingState(network, self._best, memory, progress), path)

    def restore(self, state: TrainingState) -> None:
        stored = state.progress
        if stored["settings"] != self._settings():
            raise ValueError("the saved training state belongs to other settings or images")
        try:
            self._detector.network.load_state_dict(dict(state.network))
        except RuntimeError as error:
            raise CheckpointError(f"the training state fits another network: {error}") from error
        restore_optimizer(self._optimizer, state.optimizer)
        self._scaler.load_state_dict(stored["scaler"])
        self._step, self._loss_sums = stored["step"], stored["loss_sums"]
        self._history = [EpochReport(**report) for report in stored["history"]]
        self._best = dict(state.best)

    def _settings(self) -> object:
        """What must be equal for a run to go on, as plain JSON."""
        settings = {**dataclasses.asdict(self._config), "plan": dataclasses.asdict(self._plan)}
        del settings["num_workers"]  # changes nothing but speed
        names = [image.name for image in self._images]
        return json.loads(json.dumps({"config": settings, "images": names}))


def _trunk_rate_factor(detector: Detector, config: TrainingConfig) -> float:
    if config.trunk_rate_factor is not None:
        return config.trunk_rate_factor
    return PRETRAINED_TRUNK_RATE if detector.spec.freeze_batch_norm else 1.0


def _best(history: Sequence[EpochReport]) -> EpochReport | None:
    return next((report for report in reversed(history) if report.is_best), None)


def _copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _amp_dtype() -> torch.dtype:
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _ignore(report: object) -> None:
    """Nobody listens."""


def _never() -> bool:
    return False
