"""The settings of a training run."""

from dataclasses import dataclass, field

from models.data.augmentation import Augmentation
from models.training.schedule import OptimizerName


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """
    The settings of a training run; the defaults fine-tune a small detector.

    Attributes:
        epochs: number of epochs; the validation images are evaluated after each.
        steps_per_epoch: None takes as many as use every labelled image once.
        batch_size: images per step, over all processes.
        negative_share: share of negatives in every batch, in [0, 1), if there are any.
        optimizer: "adamw" or "sgd" (momentum 0.9).
        learning_rate: the highest, after the warm-up.
        backbone_rate_factor: share of the rate that the backbone learns at, in (0, 1]. None: 0.1
            if it started from pretrained weights (the spec's `freeze_batch_norm`), which it
            forgets at the whole rate; else 1.
        final_rate_factor: share of the rate that is left at the last step.
        warmup_steps: steps of a linear rise, at most half the run.
        weight_decay: applies to all but biases and normalisation.
        clip_norm: gradients are scaled down to this norm.
        patience: epochs without a better AP after which training stops; None never stops early.
        augmentation: applies to labelled images and negatives alike.
        seed: seed of all draws; equal seeds give equal weights on one kind of CPU with equally
            many threads.
        num_loaders: number of threads that load the next batches while a step runs; 0 loads each
            batch before its step.
        mixed_precision: has an effect on CUDA only.
    """

    epochs: int = 10
    steps_per_epoch: int | None = None
    batch_size: int = 16
    negative_share: float = 0.3
    optimizer: OptimizerName = "adamw"
    learning_rate: float = 1e-3
    backbone_rate_factor: float | None = None
    final_rate_factor: float = 0.01
    warmup_steps: int = 20
    weight_decay: float = 1e-4
    clip_norm: float = 5.0
    patience: int | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0
    num_loaders: int = 2
    mixed_precision: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.backbone_rate_factor is not None and not 0 < self.backbone_rate_factor <= 1:
            raise ValueError(
                f"backbone_rate_factor must be in (0, 1], not {self.backbone_rate_factor}"
            )
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch must be positive, not {self.steps_per_epoch}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be positive, not {self.patience}")
        if self.optimizer not in ("adamw", "sgd"):
            raise ValueError(f"optimizer must be adamw or sgd, not {self.optimizer!r}")
