"""The training of one frozen list as one object, for this process or for several others."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from models.data.images import DecodeLimits, limit_decoding
from models.detectors import Detector
from models.detectors.checkpoint import save_checkpoint
from models.training.config import TrainingConfig
from models.training.distributed import is_first_process, own_device
from models.training.loop import train
from models.training.reports import EpochReport, StepReport, TrainingResult
from service.training_runs.training_inputs import TrainingSets


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """
    Everything that a process needs to train, wherever it runs.

    Attributes:
        detector: on any device; those of several processes get it on the CPU.
        device: to train on; each of several processes takes its own GPU in the place of `cuda`.
        state_path: file to rewrite with the state after every epoch.
        resume_from: the state of an earlier attempt.
        checkpoint_path: file for the best epoch's checkpoint.
        decoding: limits for the images of uploads, which are untrusted.
    """

    detector: Detector
    device: torch.device
    sets: TrainingSets
    config: TrainingConfig
    state_path: Path
    resume_from: Path | None
    checkpoint_path: Path
    decoding: DecodeLimits

    def run(
        self,
        *,
        on_epoch: Callable[[EpochReport], None],
        on_step: Callable[[StepReport], None],
        should_stop: Callable[[], bool],
        cache_folder: Path | None = None,
    ) -> TrainingResult:
        """Train, and save the checkpoint. Raises as `models.training.loop.train` does."""
        limit_decoding(self.decoding)
        result = train(
            self.detector.to(own_device(self.device)),
            self.sets.labelled,
            self.sets.negatives,
            self.sets.val,
            self.config,
            on_epoch=on_epoch,
            on_step=on_step,
            should_stop=should_stop,
            state_path=self.state_path,
            resume_from=self.resume_from,
            cache_folder=cache_folder,
        )
        if is_first_process() and result.outcome != "cancelled":
            save_checkpoint(self.detector, self.checkpoint_path)
        return result
