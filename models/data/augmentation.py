"""Random views of a training image: mirrored, cropped or shrunk, in other light and colours."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat, Image

from models.data.datasets import Sample
from models.data.ground_truth import BACKGROUND, GroundTruth

MIN_BOX_SIDE = 2.0  # pixels; a thinner strip of an object teaches nothing
CROP_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Augmentation:
    """
    Limits on how training images are changed. The defaults suit photographs of all kinds.

    Attributes:
        flip_probability: chance of mirroring left to right.
        crop_probability: chance of a random window instead of the whole image.
        min_crop_area: area of the smallest window, as a share of the image.
        crop_aspect: the window's aspect ratio changes by at most this factor.
        min_visible: a window must show this share of an object's area, or none of the object:
            half an object must not count as background.
        zoom_out_probability: chance of pasting the image into a larger, plain one.
        max_zoom_out: longest side of the plain image over that of the pasted one.
        brightness, contrast, saturation, hue: as for torchvision's ColorJitter.
    """

    flip_probability: float = 0.5
    crop_probability: float = 0.6
    min_crop_area: float = 0.3
    crop_aspect: float = 1.5
    min_visible: float = 0.4
    zoom_out_probability: float = 0.2
    max_zoom_out: float = 1.6
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    hue: float = 0.02


NO_AUGMENTATION = Augmentation(
    flip_probability=0,
    crop_probability=0,
    zoom_out_probability=0,
    brightness=0,
    contrast=0,
    saturation=0,
    hue=0,
)


class Augment:
    """
    A callable that draws one view of a sample; a generator in the same state gives the same view.

    All draws come from the generator, so threads may draw at once. They are those of torchvision's
    RandomHorizontalFlip, RandomZoomOut and ColorJitter, in their order.
    """

    def __init__(self, augmentation: Augmentation) -> None:
        self._settings = augmentation
        self._flip = v2.RandomHorizontalFlip()
        self._zoom_out = v2.RandomZoomOut(fill=127)
        self._color = v2.ColorJitter(
            augmentation.brightness,
            augmentation.contrast,
            augmentation.saturation,
            augmentation.hue,
        )

    def __call__(self, sample: Sample, generator: torch.Generator) -> Sample:
        """
        Return a changed copy. The same rules apply to negatives.

        A window without any of the image's objects would teach "background" instead of the
        object, so it is rejected: an image with objects keeps at least one, unless all its boxes
        are thinner than two pixels.
        """
        window = self._draw_window(sample, generator)
        if window is not None:
            sample = _crop(sample, window)
        boxes = BoundingBoxes(
            sample.truth.boxes,
            format=BoundingBoxFormat.XYXY,
            canvas_size=(sample.image.shape[1], sample.image.shape[2]),
        )
        image = Image(sample.image)
        if _draw(generator) < self._settings.flip_probability:
            image, boxes = (self._flip.transform(part, {}) for part in (image, boxes))
        if _draw(generator) < self._settings.zoom_out_probability:
            padding = {"padding": self._draw_padding(image, generator)}
            image, boxes = (self._zoom_out.transform(part, padding) for part in (image, boxes))
        boxes, is_kept = functional.sanitize_bounding_boxes(boxes, min_size=MIN_BOX_SIDE)
        return Sample(
            self._color.transform(image, self._draw_colors(generator)).as_subclass(Tensor),
            GroundTruth(boxes.as_subclass(Tensor), sample.truth.labels[is_kept]),
        )

    def _draw_padding(self, image: Tensor, generator: torch.Generator) -> list[int]:
        """Draw how many pixels to add to an image: left, top, right, bottom."""
        height, width = image.shape[-2:]
        factor = 1.0 + torch.rand(1, generator=generator) * (self._settings.max_zoom_out - 1.0)
        more_x, more_y = int(width * factor) - width, int(height * factor) - height
        x, y = torch.rand(2, generator=generator)
        left, top = int(more_x * x), int(more_y * y)
        return [left, top, more_x - left, more_y - top]

    def _draw_colors(self, generator: torch.Generator) -> dict[str, Any]:
        """Draw the parameters of a ColorJitter; the factor of a change that is off is None."""
        order = torch.randperm(4, generator=generator)
        factors = {
            f"{name}_factor": limits
            and torch.empty(1).uniform_(*limits, generator=generator).item()
            for name in ("brightness", "contrast", "saturation", "hue")
            for limits in [getattr(self._color, name)]
        }
        return {"fn_idx": order, **factors}

    def _draw_window(
        self, sample: Sample, generator: torch.Generator
    ) -> tuple[int, int, int, int] | None:
        """Draw a window (left, top, right, bottom) that is fair to the objects; None: no crop."""
        if _draw(generator) >= self._settings.crop_probability:
            return None
        height, width = sample.image.shape[-2:]
        objects = sample.truth.boxes[sample.truth.labels > BACKGROUND]
        for _ in range(CROP_ATTEMPTS):
            area, aspect, x, y = torch.rand(4, generator=generator).tolist()
            area = self._settings.min_crop_area + area * (1 - self._settings.min_crop_area)
            stretch = self._settings.crop_aspect ** (aspect - 0.5)
            crop_width = min(width, max(1, round(width * area**0.5 * stretch)))
            crop_height = min(height, max(1, round(height * area**0.5 / stretch)))
            left, top = round(x * (width - crop_width)), round(y * (height - crop_height))
            window = (left, top, left + crop_width, top + crop_height)
            if self._is_fair(objects, window):
                return window
        return None

    def _is_fair(self, boxes: Tensor, window: tuple[int, int, int, int]) -> bool:
        if not len(boxes):
            return True
        visible = visible_shares(boxes, window)
        is_kept = visible >= self._settings.min_visible
        return bool(is_kept.any()) and bool((is_kept | (visible == 0)).all())


def _draw(generator: torch.Generator) -> float:
    return torch.rand(1, generator=generator).item()


def visible_shares(boxes: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    """Return the share of each box's area that lies in the window: float [M] in [0, 1]."""
    left, top, right, bottom = window
    width = boxes[:, 2].clamp(max=right) - boxes[:, 0].clamp(min=left)
    height = boxes[:, 3].clamp(max=bottom) - boxes[:, 1].clamp(min=top)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return width.clamp(min=0) * height.clamp(min=0) / area


def _crop(sample: Sample, window: tuple[int, int, int, int]) -> Sample:
    left, top, right, bottom = window
    is_kept = visible_shares(sample.truth.boxes, window) > 0
    boxes = sample.truth.boxes[is_kept] - torch.tensor([left, top, left, top])
    limits = torch.tensor([right - left, bottom - top] * 2)
    return Sample(
        sample.image[:, top:bottom, left:right],
        GroundTruth(torch.minimum(boxes.clamp(min=0), limits), sample.truth.labels[is_kept]),
    )
