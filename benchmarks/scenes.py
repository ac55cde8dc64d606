"""Pictures of coloured shapes on noise, and detectors whose scores spread on them."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.detectors import Detector, build
from models.detectors.checkpoint import load_checkpoint, save_checkpoint
from models.inference.predict import predict

HEIGHT, WIDTH = 480, 640
COLOURS = 10
SHAPES = 9  # so many numbers of dots on the square
TRAINING_STEPS = 60
BATCH = 16
MEDIAN_LOG_ODDS = -1.5  # of the best scores of calibrated detectors: half of the images below 0.18

Pixels = NDArray[np.uint8]


def scene(seed: int, kind: int | None) -> tuple[Pixels, Tensor]:
    """Noise, uint8 [480, 640, 3], with a square of one of 90 kinds, and boxes float [0 or 1, 4]."""
    random = np.random.default_rng(seed)
    coarse = random.integers(40, 200, (HEIGHT // 40, WIDTH // 40, 3))
    noisy = coarse.repeat(40, axis=0).repeat(40, axis=1)
    noisy = noisy + random.integers(-30, 30, noisy.shape)
    pixels: Pixels = noisy.clip(0, 255).astype(np.uint8)
    if kind is None:
        return pixels, torch.zeros((0, 4))
    side = int(random.integers(120, 300))
    x, y = int(random.integers(0, WIDTH - side)), int(random.integers(0, HEIGHT - side))
    patch = pixels[y : y + side, x : x + side]
    patch[:] = np.random.default_rng(kind % COLOURS).integers(0, 256, 3)
    for dot in range(kind // COLOURS):
        row, column = (side * (1 + 3 * (dot // 3)) // 9, side * (1 + 3 * (dot % 3)) // 9)
        patch[row : row + side // 9, column : column + side // 9] = 255
    return pixels, torch.tensor([[x, y, x + side, y + side]]).float()


def pool(num_images: int, num_kinds: int) -> list[Tensor]:
    """uint8 [3, 480, 640] as `decode` gives it: every other one with a square, none trained on."""
    kinds = [None if index % 2 else index // 2 % num_kinds for index in range(num_images)]
    return [_tensor(scene(10**6 + index, kind)[0]) for index, kind in enumerate(kinds)]


def _tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)


def trained(architecture: str, num_classes: int, folder: Path) -> Detector:
    """Trained from scratch for a minute or two the first time; kept in the folder."""
    path = folder / f"{architecture}-{num_classes}-{TRAINING_STEPS}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        detector = build(architecture, [f"kind {kind}" for kind in range(num_classes)])
        _train(detector)
        save_checkpoint(detector.eval(), path)
    return load_checkpoint(path).eval()


def _train(detector: Detector) -> None:
    optimizer = torch.optim.AdamW(detector.parameters(), lr=2e-3)
    num_classes = len(detector.spec.class_names)
    detector.train()
    for step in range(TRAINING_STEPS):
        kinds = [(step * BATCH + k) % num_classes for k in range(BATCH)]
        scenes = [scene(step * BATCH + k, kind) for k, kind in enumerate(kinds)]
        losses = detector(
            [_tensor(pixels) for pixels, _ in scenes],
            [
                {"boxes": boxes, "labels": torch.tensor([1 + kind])}
                for (_, boxes), kind in zip(scenes, kinds, strict=True)
            ],
        )
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        optimizer.step()
    _settle(detector, [_tensor(scene(seed, seed % num_classes)[0]) for seed in range(BATCH)])


def _settle(detector: Detector, images: Sequence[Tensor]) -> None:
    """BatchNorm's statistics from these images alone."""
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    no_objects = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()}] * len(images)
    with torch.no_grad():
        detector.train()(list(images), no_objects)
    detector.eval()


def calibrated(architecture: str, num_classes: int, images: Sequence[Tensor]) -> Detector:
    """
    Random weights, but scores that spread: for networks that take too long to train here.

    BatchNorm is settled on the images, the class layers are scaled to logits of spread 1, and the
    classes' biases shifted until half of the images score below 0.18.
    """
    torch.manual_seed(0)
    detector = build(architecture, [f"kind {kind}" for kind in range(num_classes)])
    _settle(detector, images[:2])
    with torch.no_grad():
        layers = _class_layers(detector)
        hooks = [layer.register_forward_hook(_scale_to_unit_spread) for layer in layers]
        predict(detector, [detector.preprocess(images[0])])
        for hook in hooks:
            hook.remove()
        if architecture.startswith(("retinanet", "fcos")):
            for layer in layers:
                _silence_column_zero(layer, 1 + num_classes)
        for _ in range(3):
            found = predict(detector, [detector.preprocess(image) for image in images[:4]])
            median = float(np.median([prediction.log_odds or 0 for prediction in found]))
            shift_background(detector, median - MEDIAN_LOG_ODDS)
    return detector


def _class_layers(detector: Detector) -> list[nn.Conv2d | nn.Linear]:
    return [
        layer
        for name, layer in detector.network.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear))
        and not name.endswith("bbox_pred")
        and re.fullmatch(detector.class_layers, f"{name}.weight")
    ]


def _scale_to_unit_spread(
    layer: nn.Conv2d | nn.Linear, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    layer.weight.data /= output.std()
    if layer.bias is not None:
        layer.bias.data.zero_()


def _silence_column_zero(layer: nn.Conv2d | nn.Linear, num_columns: int) -> None:
    """Silence the column that stands for no class; torchvision would detect it."""
    assert layer.bias is not None
    layer.weight.data[::num_columns] = 0
    layer.bias.data[::num_columns] = -40


@torch.no_grad()
def shift_background(detector: Detector, by: float) -> None:
    """Raise the background's logit against those of all classes."""
    for layer in _class_layers(detector):
        assert layer.bias is not None
        columns = layer.bias.data.view(-1, 1 + len(detector.spec.class_names))
        columns[:, 1:] -= by
