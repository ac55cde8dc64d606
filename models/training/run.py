"""The changing parts of a training run, saved to a file and restored from one."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.data.datasets import LabelledImage
from models.detectors import Detector
from models.detectors.checkpoint import CheckpointError
from models.training.batches import BatchPlan
from models.training.config import TrainingConfig
from models.training.reports import EpochReport
from models.training.schedule import build_optimizer
from models.training.state import (
    TrainingState,
    load_state,
    optimizer_tensors,
    restore_optimizer,
    save_state,
)

PRETRAINED_BACKBONE_RATE = 0.1  # share of the rate of all other layers


class RunningTraining:
    """
    A training under way: the detector, its optimizer, and the progress made.

    Attributes:
        detector: trained in place.
        config: how to train.
        steps_per_epoch: steps between two evaluations.
        num_steps: steps of all epochs.
        optimizer: one group of parameters for each learning rate and weight decay.
        amp_dtype: type that CUDA computes in under mixed precision; None without it.
        scaler: of gradients in float16; disabled for other types.
        step: steps done since the start.
        history: one report per finished epoch.
        best_weights: the network after its best epoch; empty before the end of the first.
    """

    def __init__(
        self,
        detector: Detector,
        images: Sequence[LabelledImage],
        plan: BatchPlan,
        config: TrainingConfig,
    ) -> None:
        self.detector = detector
        self.config = config
        self.steps_per_epoch = config.steps_per_epoch or plan.steps_per_pass
        self.num_steps = config.epochs * self.steps_per_epoch
        self.optimizer = build_optimizer(
            config.optimizer,
            detector,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            backbone=detector.backbone_parameters,
            backbone_rate_factor=_backbone_rate_factor(detector, config),
        )
        use_amp = config.mixed_precision and detector.device.type == "cuda"
        self.amp_dtype = _amp_dtype() if use_amp else None
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.amp_dtype is torch.float16)
        self.step = 0
        self.history: list[EpochReport] = []
        self.best_weights: dict[str, Tensor] = {}
        self._loss_sums: dict[str, float] = {}
        self._settings = _settings(config, plan, images)

    @property
    def steps_left_in_epoch(self) -> int:
        return self.steps_per_epoch - self.step % self.steps_per_epoch

    @property
    def is_over(self) -> bool:
        return len(self.history) == self.config.epochs or self.is_out_of_patience

    @property
    def is_out_of_patience(self) -> bool:
        best = self.best_report
        if self.config.patience is None or best is None:
            return False
        return len(self.history) - best.epoch >= self.config.patience

    @property
    def best_report(self) -> EpochReport | None:
        """The report of the best epoch so far, None before the end of the first."""
        return next((report for report in reversed(self.history) if report.is_best), None)

    def add_step(self, losses: Mapping[str, float]) -> None:
        """Count a step and its losses by name."""
        for name, value in losses.items():
            self._loss_sums[name] = self._loss_sums.get(name, 0.0) + value
        self.step += 1

    def add_epoch(self, ap50_95: float, ap50: float, duration_s: float) -> EpochReport:
        """Count an epoch, and keep its weights if they are the best: highest AP, or latest."""
        best = self.best_report
        is_best = best is None or not ap50_95 <= best.ap50_95  # AP is NaN without images
        if is_best:
            self.best_weights = _copy(self.detector.network.state_dict())
        report = EpochReport(
            epoch=len(self.history) + 1,
            num_epochs=self.config.epochs,
            step=self.step,
            losses={name: value / self.steps_per_epoch for name, value in self._loss_sums.items()},
            learning_rate=max(group["lr"] for group in self.optimizer.param_groups),
            ap50_95=ap50_95,
            ap50=ap50,
            is_best=is_best,
            duration_s=duration_s,
        )
        self.history.append(report)
        self._loss_sums = {}
        return report

    def save(self, path: Path) -> None:
        """Replace the file with the present state."""
        progress = {
            "settings": self._settings,
            "step": self.step,
            "loss_sums": self._loss_sums,
            "history": [dataclasses.asdict(report) for report in self.history],
            "scaler": self.scaler.state_dict(),
        }
        network = self.detector.network.state_dict()
        memory = optimizer_tensors(self.optimizer)
        save_state(TrainingState(network, self.best_weights, memory, progress), path)

    def restore(self, path: Path) -> None:
        """
        Continue from a saved state.

        Raises:
            ValueError: The state belongs to other settings or images.
            CheckpointError: The file is damaged, or belongs to another network.
        """
        state = load_state(path)
        stored = state.progress
        if _with_todays_names(stored["settings"]) != self._settings:
            raise ValueError("the saved training state belongs to other settings or images")
        try:
            self.detector.network.load_state_dict(dict(state.network))
        except RuntimeError as error:
            raise CheckpointError(f"the training state fits another network: {error}") from error
        restore_optimizer(self.optimizer, state.optimizer)
        self.scaler.load_state_dict(stored["scaler"])
        self.step, self._loss_sums = stored["step"], stored["loss_sums"]
        self.history = [EpochReport(**report) for report in stored["history"]]
        self.best_weights = dict(state.best)


def _settings(config: TrainingConfig, plan: BatchPlan, images: Sequence[LabelledImage]) -> object:
    """Return, as plain JSON values, everything that must be equal for a run to continue."""
    settings = {**dataclasses.asdict(config), "plan": dataclasses.asdict(plan)}
    del settings["num_loaders"]  # changes the speed and nothing else
    names = [image.name for image in images]
    return json.loads(json.dumps({"config": settings, "images": names}))


def _with_todays_names(settings: dict[str, Any]) -> dict[str, Any]:
    """Rename a field that states of version 0.1.0 call `backbone_rate_factor`."""
    config = {
        {"trunk_rate_factor": "backbone_rate_factor"}.get(name, name): value
        for name, value in settings["config"].items()
    }
    return {**settings, "config": config}


def _backbone_rate_factor(detector: Detector, config: TrainingConfig) -> float:
    if config.backbone_rate_factor is not None:
        return config.backbone_rate_factor
    return PRETRAINED_BACKBONE_RATE if detector.spec.freeze_batch_norm else 1.0


def _copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _amp_dtype() -> torch.dtype:
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
