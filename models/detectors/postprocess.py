"""Detections of the few anchors that can pass the score threshold, as torchvision makes them."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms

from models.detectors.detections import Detections


def highest_of_each(scores: Tensor, groups: Tensor, limit: int) -> Tensor:
    """
    Return indices of the `limit` highest scores of each group, of all if a group has fewer.

    `scores` are float [N]; `groups` are int64 [N], 0 and up: a score's class, or its level.
    """
    counts = groups.bincount()
    if len(scores) <= limit or int(counts.max()) <= limit:
        return torch.arange(len(scores), device=scores.device)
    order = scores.argsort(descending=True, stable=True)
    order = order[groups[order].argsort(stable=True)]
    starts = counts.cumsum(0) - counts
    rank = torch.arange(len(scores), device=scores.device) - starts[groups[order]]
    return order[rank < limit]


class SuppressionSpec(Protocol):
    """The numbers of a spec that say which overlapping boxes are dropped, and how many stay."""

    @property
    def nms_threshold(self) -> float: ...
    @property
    def detections_per_image(self) -> int: ...


def suppress(boxes: Tensor, scores: Tensor, labels: Tensor, spec: SuppressionSpec) -> Detections:
    """Suppress non-maxima within each class and keep the best, highest score first."""
    keep = batched_nms(boxes, scores, labels, spec.nms_threshold)[: spec.detections_per_image]
    return Detections(boxes[keep], scores[keep], labels[keep])


def rows_of(features: Sequence[Tensor], rows: list[int]) -> list[Tensor]:
    """Select images of a batch, channels last; copy only if that changes anything."""
    if len(rows) != len(features[0]):
        features = [level[rows] for level in features]
    return [level.contiguous(memory_format=torch.channels_last) for level in features]


def anchors_of_one(
    generate: Callable[..., list[Tensor]], batch: ImageList, features: Sequence[Tensor]
) -> Tensor:
    """Return float32 [A, 4]: the anchors of every image of the batch, for features of any type."""
    maps = [level.new_empty((1, 1, *level.shape[-2:]), dtype=torch.float32) for level in features]
    [anchors] = generate(ImageList(batch.tensors, batch.image_sizes[:1]), maps)
    return anchors
