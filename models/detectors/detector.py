"""The base class of all detector families: pixels in, losses or scored boxes out."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.image_list import ImageList

from models.data.ground_truth import BACKGROUND, IGNORED
from models.detectors.detections import Detections
from models.detectors.spec import DetectorSpec
from models.sampling import AnchorSampler

# `Detector.dense`, or compiled code in its place
Dense = Callable[[Tensor], dict[str, Tensor]]

# An image decoded at a fraction of its size keeps at least this many times the network's sides: its
# mean difference from a full decode then stays below 1 of 255 (benchmarks/decode.py)
DECODE_MARGIN = 1.5


class Placement(NamedTuple):
    """
    Where an image lies in the network's input: a point of the image is (input - offset) * factor.

    Attributes:
        factor: (x, y), sides of the original image over those in the input.
        offset: (x, y) of the image's upper left corner in the input, in pixels.
    """

    factor: tuple[float, float]
    offset: tuple[float, float] = (0.0, 0.0)

    def to_original(self, boxes: Tensor) -> Tensor:
        """Return boxes [N, 4], xyxy in pixels of the input, in pixels of the original image."""
        moved = boxes - torch.tensor([*self.offset, *self.offset], dtype=torch.float32)
        return moved * torch.tensor([*self.factor, *self.factor], dtype=torch.float32)


WHOLE_INPUT = Placement((1.0, 1.0))  # of an image that is its own input


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """
    An image resized for the network.

    Attributes:
        pixels: uint8 or float32 [3, h, w] in [0, 255], not yet normalised.
        original_size: (height, width) of the upright original.
        placement: where the image lies among these pixels; by default they are the image.
    """

    pixels: Tensor
    original_size: tuple[int, int]
    placement: Placement = WHOLE_INPUT


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """
    The scores of one image of a batch.

    Attributes:
        log_odds: log-odds of the highest foreground probability before any threshold; None if
            the network proposed no box at all.
        detections: boxes in pixels of the network's input.
    """

    log_odds: float | None
    detections: Detections


class Detector(nn.Module, ABC):
    """
    A detection network with its spec, its preprocessing and its sampler.

    Training and scoring see the same pixels: both go through `preprocess`.

    Attributes:
        spec: everything, beside the weights, that is needed to rebuild it.
        network: the torchvision-style module; a checkpoint holds its state dict.
        sampler: chooses the anchors that enter the classification loss; None is the family's
            default. With every default, an image without objects teaches something.
        negative_weight: weight of background anchors in the classification loss.
    """

    keeps_aspect = False
    size_divisor = 1  # a batch's padded sides are multiples of this
    class_layers: str  # pattern of names in the state dict whose shapes depend on the classes

    image_mean: Tensor
    image_std: Tensor

    def __init__(self, spec: DetectorSpec, network: nn.Module, backbone: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        # a third faster than planar on the CPU for these networks, in training, too
        self.network = network.to(memory_format=torch.channels_last)
        self.sampler: AnchorSampler | None = None
        self.negative_weight = 1.0
        self._backbone_parameters = list(backbone.parameters())
        self._backbone_norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
        for name in ("image_mean", "image_std"):
            values = torch.tensor(getattr(spec, name), dtype=torch.float32).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    @property
    def device(self) -> torch.device:
        return self.image_mean.device

    @property
    def backbone_parameters(self) -> Sequence[nn.Parameter]:
        """Parameters of the layers that ImageNet weights can fill."""
        return self._backbone_parameters

    def train(self, mode: bool = True) -> "Detector":
        super().train(mode)
        if self.spec.freeze_batch_norm:
            for norm in self._backbone_norms:
                norm.eval()
        return self

    def preprocess(
        self, image: Tensor, original_size: tuple[int, int] | None = None
    ) -> PreparedImage:
        """
        Resize one image for the network, on the CPU. Safe to call from many threads.

        Args:
            image: uint8 [3, H, W], or float [3, H, W] in [0, 1]; float is rounded to uint8, so
                augmented images give the same kind of pixels.
            original_size: (height, width) of the upright image, if `image` is a smaller copy.

        Raises:
            ValueError: The shape or the type is another one.
        """
        if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
            raise ValueError(f"an image must have shape [3, H, W], not {list(image.shape)}")
        if image.is_floating_point():
            image = (image * 255).round().clamp(0, 255).to(torch.uint8)
        if image.dtype != torch.uint8:
            raise ValueError(f"pixels must be uint8, or float in [0, 1], not {image.dtype}")
        original_size = original_size or (image.shape[1], image.shape[2])
        size = self.network_size(*original_size)
        antialias = self.spec.antialias or _is_far_above(original_size, enough_for(size))
        pixels = image.unsqueeze(0)
        if not antialias:
            pixels = pixels.to(torch.float32, memory_format=torch.channels_last)
        if size != image.shape[1:]:
            pixels = functional.interpolate(
                pixels,
                size=size,
                mode="bilinear",
                align_corners=False,
                antialias=antialias,
            )
        factor = original_size[1] / size[1], original_size[0] / size[0]
        return PreparedImage(pixels.squeeze(0), original_size, Placement(factor))

    @property
    def recipe(self) -> str:
        """Everything that `decode_size` and `preprocess` depend on, beside the image."""
        spec = self.spec
        return f"own {self.keeps_aspect} {spec.input_size} {spec.antialias} {DECODE_MARGIN}"

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) that an image of these sides is resized to."""
        if not self.keeps_aspect:
            return self.spec.input_size
        shorter, longest = self.spec.input_size
        scale = min(shorter / min(height, width), longest / max(height, width))
        return max(1, math.floor(height * scale)), max(1, math.floor(width * scale))

    def decode_size(self, height: int, width: int) -> tuple[int, int] | None:
        """Return the (height, width) that a file is decoded to at least."""
        return enough_for(self.network_size(height, width))

    def score_images(
        self, images: Sequence[PreparedImage], min_score: float = 0.0, dense: Dense | None = None
    ) -> list[ScoredImage]:
        """Score prepared images as one batch; see `score`."""
        return self.score(self.collate(images), min_score, dense)

    def padded_size(self, image: PreparedImage) -> tuple[int, int]:
        """Return the (height, width) of a batch that holds this image alone."""
        height, width = image.pixels.shape[-2:]
        return _round_up(height, self.size_divisor), _round_up(width, self.size_divisor)

    def collate(self, images: Sequence[PreparedImage]) -> ImageList:
        """Normalise images, pad them right and below with zeros, on the detector's device."""
        sizes = [self.padded_size(image) for image in images]
        height, width = max(size[0] for size in sizes), max(size[1] for size in sizes)
        batch = torch.empty(
            (len(images), 3, height, width),
            device=self.device,
            memory_format=torch.channels_last,
        ).zero_()
        scale, shift = 1 / (255 * self.image_std), -self.image_mean / self.image_std
        for row, image in zip(batch, images, strict=True):
            pixels = self._to_device(image.pixels).float()
            place = row[:, : pixels.shape[1], : pixels.shape[2]]
            torch.addcmul(shift, pixels, scale, out=place)  # in one pass
        return ImageList(batch, [tuple(image.pixels.shape[-2:]) for image in images])

    def _to_device(self, pixels: Tensor) -> Tensor:
        """Copy; to a GPU from pinned memory, so that the processor need not wait."""
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        return pixels.to(self.device, non_blocking=True)

    def forward(
        self, images: Sequence[Tensor | PreparedImage], targets: Sequence[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """
        Compute the losses of a batch; their sum is to be minimised.

        Args:
            images: prepared, or as `preprocess` takes them.
            targets: per image, `boxes` float [M, 4], xyxy in pixels of the given image, and
                `labels` int64 [M]; M = 0 is an image without objects. Label 0 is a background
                box, -1 an ignored one (see `GroundTruth`).

        Raises:
            ValueError: A box has no width or height, a label is out of range, or lengths differ.
        """
        if len(images) != len(targets):
            raise ValueError(f"{len(images)} images, but {len(targets)} targets")
        prepared = [
            image if isinstance(image, PreparedImage) else self.preprocess(image.cpu())
            for image in images
        ]
        scaled = [
            self._scale_target(target, image)
            for target, image in zip(targets, prepared, strict=True)
        ]
        return self.losses(self.collate(prepared), scaled)

    def _scale_target(self, target: dict[str, Tensor], image: PreparedImage) -> dict[str, Tensor]:
        boxes, labels = target["boxes"], target["labels"]
        if boxes.ndim != 2 or boxes.shape[1] != 4 or labels.shape != boxes.shape[:1]:
            raise ValueError(f"{list(boxes.shape)=} and {list(labels.shape)=} must be [M, 4], [M]")
        if (boxes[:, 2:] <= boxes[:, :2]).any():
            raise ValueError("every box needs a width and a height above zero")
        if ((labels < IGNORED) | (labels > len(self.spec.class_names))).any():
            raise ValueError(f"labels must be {IGNORED} to {len(self.spec.class_names)}")
        scale = box_scale(image.original_size, (image.pixels.shape[1], image.pixels.shape[2]))
        scaled = (boxes.float() * scale.to(boxes.device)).to(self.device)
        labels = labels.long().to(self.device)
        return {
            "boxes": scaled[labels > BACKGROUND],
            "labels": labels[labels > BACKGROUND],
            "background": scaled[labels == BACKGROUND],
            "ignored": scaled[labels == IGNORED],
        }

    def sample(
        self, sampler: AnchorSampler, labels: list[Tensor], foreground_prob: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """
        Return bool masks of the positives and the negatives that enter the loss.

        All of them do if any probability is not finite: a sampler may refuse such numbers, but
        the loss is then not finite either, and shows it.
        """
        if not foreground_prob.isfinite().all():
            return [image >= 1 for image in labels], [image == 0 for image in labels]
        positive, negative = sampler(labels, foreground_prob)
        return [mask.bool() for mask in positive], [mask.bool() for mask in negative]

    @abstractmethod
    def losses(self, batch: ImageList, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """
        Compute the losses of a collated batch.

        Args:
            batch: from `collate`.
            targets: per image `boxes` [M, 4] and `labels` [M] of objects, and the boxes
                `background` [N, 4] and `ignored` [I, 4]; xyxy in pixels of the network's input.
        """

    @abstractmethod
    def dense(self, pixels: Tensor) -> dict[str, Tensor]:
        """
        Compute what scoring needs of every image, whatever its content: nearly all of the work.

        Args:
            pixels: float [B, 3, H, W], normalised.

        Returns:
            Outputs of heads by torchvision's names, then the backbone's feature maps, in order.
        """

    @abstractmethod
    def score(
        self, batch: ImageList, min_score: float = 0.0, dense: Dense | None = None
    ) -> list[ScoredImage]:
        """
        Score a collated batch: log-odds before any threshold, and detections.

        Detections score above the spec's `score_threshold` and above `min_score`; the fewer they
        are, the less is computed. `dense` is called in the place of `Detector.dense`.
        """


def no_detections() -> Detections:
    return Detections(torch.zeros((0, 4)), torch.zeros((0,)), torch.zeros((0,), dtype=torch.int64))


def enough_for(network_size: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest (height, width) to decode a file to, before resizing it."""
    height, width = network_size
    return math.ceil(DECODE_MARGIN * height), math.ceil(DECODE_MARGIN * width)


def _is_far_above(size: tuple[int, int], enough: tuple[int, int]) -> bool:
    """Return True if both sides are at least twice too long: such a JPEG is decoded smaller."""
    return size[0] >= 2 * enough[0] and size[1] >= 2 * enough[1]


def box_scale(from_size: tuple[int, int], to_size: tuple[int, int]) -> Tensor:
    """Return factors [4] that scale xyxy boxes from one (height, width) to another."""
    y, x = to_size[0] / from_size[0], to_size[1] / from_size[1]
    return torch.tensor([x, y, x, y], dtype=torch.float32)


def _round_up(value: int, divisor: int) -> int:
    return -(-value // divisor) * divisor
