"""A network of half a million parameters that has learned to find the demo's digits."""

from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hardneg.demo.scenes import LABELLED_HANDWRITING, LABELLED_PHOTOGRAPHS, Scene, SceneMaker
from tests.models.detectors.foreign.networks import HEIGHT, STRIDES, WIDTH, grid

DIGITS = (3, 8)
DIGIT_NAMES = ("3", "8")
TRAINING_SCENES, STEPS, BATCH = 192, 70, 16
FINE_SIDE = 22.0  # pixels of the input; longer boxes belong to the coarse level


class DigitNetwork(nn.Module):
    """Same outputs as `GridNetwork`: raw boxes, objectness, and class logits of two levels."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((3, 16, 32, 64)):
            layers += _block(before, after, stride=2)
        self.backbone = nn.Sequential(*layers, *_block(64, 96))
        self.down = nn.Sequential(*_block(96, 128, stride=2), *_block(128, 128), *_block(128, 96))
        self.head = nn.Conv2d(96, len(DIGITS) + 5, 1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias[4:], -4.0)  # nearly all cells are empty

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images [B, 3, H, W] in [0, 1] to boxes [B, N, 4], objectness [B, N, 1], logits."""
        fine = self.backbone(images)
        maps = [self.head(level).flatten(2) for level in (fine, self.down(fine))]
        rows = torch.cat(maps, dim=2).transpose(1, 2)
        return rows[..., :4].clamp(-3, 3), rows[..., 4:5], rows[..., 5:]


@cache
def trained_network() -> DigitNetwork:
    """Train for seconds, always to the same weights; in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = DigitNetwork().train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=STEPS)
        images, targets = _training_set()
        for _ in range(STEPS):
            chosen = torch.randint(TRAINING_SCENES, (BATCH,))
            loss = _loss(network(images[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            schedule.step()
    return network.eval()


def scenes(count: int, stream: int) -> list[Scene]:
    """Draw scenes with one or two digits to find."""
    maker = SceneMaker(LABELLED_PHOTOGRAPHS, LABELLED_HANDWRITING)
    return [maker.scene((stream, number), DIGITS, 2) for number in range(count)]


def wide(left: Scene, right: Scene) -> tuple[Tensor, Tensor]:
    """Put two scenes side by side: uint8 [3, 160, 320], and boxes xyxy [M, 4]."""
    shift = left.pixels.shape[1]
    boxes = [placed.box for placed in left.digits] + [
        (x1 + shift, y1, x2 + shift, y2) for x1, y1, x2, y2 in (d.box for d in right.digits)
    ]
    pixels = np.concatenate([left.pixels, right.pixels], axis=1)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), torch.tensor(boxes)


def _block(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.SiLU()]


def _training_set() -> tuple[Tensor, Tensor]:
    """Return inputs [S, 3, H, W] and, for each cell, cxcywh in cells and a label, [S, N, 5]."""
    images, targets = [], []
    for scene in scenes(TRAINING_SCENES, stream=0):
        pixels = torch.from_numpy(scene.pixels).permute(2, 0, 1)[None].float() / 255
        images.append(functional.interpolate(pixels, (HEIGHT, WIDTH), mode="bilinear"))
        targets.append(_target(scene))
    return torch.cat(images), torch.stack(targets)


def _target(scene: Scene) -> Tensor:
    points, strides = grid()
    target = torch.zeros(len(points), 5)
    side = scene.pixels.shape[0]
    for placed in scene.digits:
        x1, y1, x2, y2 = placed.box
        size = torch.tensor([(x2 - x1) * WIDTH, (y2 - y1) * HEIGHT]) / side
        center = torch.tensor([(x1 + x2) * WIDTH, (y1 + y2) * HEIGHT]) / (2 * side)
        stride = STRIDES[0] if size.max() <= FINE_SIDE else STRIDES[1]
        inside = (strides == stride).all(1) & (points == (center / stride).floor()).all(1)
        raw = torch.cat([center / stride - (center / stride).floor(), (size / stride).log()])
        target[inside] = torch.cat([raw, torch.tensor([DIGITS.index(placed.digit) + 1.0])])
    return target


def _loss(found: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
    raw, objectness, logits = found
    label = target[..., 4].long()
    is_object = label > 0
    wanted = functional.one_hot(label, len(DIGITS) + 1)[..., 1:].float()
    losses = [
        functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum"),
        functional.binary_cross_entropy_with_logits(
            objectness[..., 0], is_object.float(), reduction="sum"
        ),
        functional.smooth_l1_loss(raw[is_object], target[is_object][:, :4], reduction="sum"),
    ]
    return torch.stack(losses).sum() / is_object.sum().clamp(min=1)
