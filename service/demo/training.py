"""The demo's detector: a small SSD, trained from scratch."""

from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import Progress

from models.augmentation import NO_AUGMENTATION
from models.checkpoint import save_checkpoint
from models.detectors import build
from models.inference import select_device
from models.training import train
from models.training_config import TrainingConfig
from service.demo.data import CLASS_NAMES, labelled_scenes

ARCHITECTURE = "ssd_small"
NUM_TRAIN, NUM_VAL = 800, 100
BATCH_SIZE = 16
LEARNING_RATE = 3e-3


@dataclass(frozen=True, slots=True)
class TrainedDetector:
    """AP on scenes that it was not trained on."""

    ap50_95: float
    ap50: float


def train_detector(path: Path, *, seed: int, num_steps: int, progress: Progress) -> TrainedDetector:
    """Train, and write the checkpoint; the same seed gives the same bytes on the same machine."""
    scenes = labelled_scenes(seed, NUM_TRAIN, NUM_VAL)
    torch.manual_seed(seed)
    detector = build(ARCHITECTURE, CLASS_NAMES).to(select_device())
    config = TrainingConfig(
        epochs=1,
        steps_per_epoch=num_steps,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        augmentation=NO_AUGMENTATION,
        seed=seed,
    )
    task = progress.add_task("training", total=num_steps * BATCH_SIZE)
    result = train(
        detector,
        scenes.train,
        [],
        scenes.val,
        config,
        on_step=lambda step: progress.update(task, completed=step.step * BATCH_SIZE),
    )
    save_checkpoint(detector.cpu(), path)
    (epoch,) = result.history
    return TrainedDetector(epoch.ap50_95, epoch.ap50)
