"""Scoring that SSD, RetinaNet and FCOS share: class scores and offsets for a fixed grid."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.ops import clip_boxes_to_image

from models.detectors.detections import Detections
from models.detectors.detector import Dense, Detector, ScoredImage, no_detections
from models.detectors.postprocess import anchors_of_one, highest_of_each, rows_of, suppress
from models.detectors.scores import log_odds_floor

Heads = dict[str, Tensor]


class OneStageDetector(Detector):
    """
    A detector that judges every anchor of a fixed grid at once.

    Ranking an image takes its class scores alone. Boxes are decoded only for images whose highest
    score can pass the threshold, and only from those of their anchors that can.
    """

    head_names: tuple[str, ...] = ("cls_logits",)  # outputs of `dense` that are no feature maps
    limits_each_level = True  # `topk_candidates` holds for each level; False: for each class
    network: SSD | RetinaNet | FCOS

    def dense(self, pixels: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = self.network.backbone(pixels)
        return {"cls_logits": self.network.head.classification_head(list(maps.values())), **maps}

    def score(
        self, batch: ImageList, min_score: float = 0.0, dense: Dense | None = None
    ) -> list[ScoredImage]:
        outputs = (dense or self.dense)(batch.tensors)
        heads = {name: outputs[name].float() for name in self.head_names}
        maps = [level for name, level in outputs.items() if name not in self.head_names]
        log_odds, bound = self.rank(heads)
        threshold = max(min_score, self.spec.score_threshold)
        floor = log_odds_floor(threshold)
        scored = [ScoredImage(value, no_detections()) for value in log_odds]
        rows = [row for row, value in enumerate(log_odds) if value > floor]  # NaN is not above it
        if not rows:
            return scored
        anchors = anchors_of_one(self.network.anchor_generator, batch, maps)
        levels = anchor_levels(maps, len(anchors)) if self.limits_each_level else None
        for row, offsets in zip(rows, self.offsets(heads, maps, rows), strict=True):
            near = (bound[row] > floor).nonzero().flatten().to(anchors.device)
            boxes = self.decode(offsets[near], anchors[near])
            scored[row] = ScoredImage(
                log_odds[row],
                self._detect(
                    clip_boxes_to_image(boxes, batch.image_sizes[row]),
                    self.probabilities({name: head[row, near] for name, head in heads.items()}),
                    None if levels is None else levels[near],
                    threshold,
                ),
            )
        return scored

    @abstractmethod
    def rank(self, heads: Heads) -> tuple[list[float], Tensor]:
        """
        Return the highest log-odds of each image, and [B, A]: no anchor's log-odds exceed it.

        The highest log-odds are NaN where an output is NaN.
        """

    @abstractmethod
    def probabilities(self, heads: Heads) -> Tensor:
        """Return the object-class probabilities [N, K] of N anchors, given their outputs."""

    def offsets(self, heads: Heads, maps: Sequence[Tensor], rows: list[int]) -> Tensor:
        """Return the regression output [R, A, 4] of these images of the batch."""
        offsets: Tensor = self.network.head.regression_head(rows_of(maps, rows))
        return offsets.float()

    def decode(self, offsets: Tensor, anchors: Tensor) -> Tensor:
        """Turn offsets [N, 4] from anchors [N, 4] into xyxy boxes."""
        boxes: Tensor = self.network.box_coder.decode_single(offsets, anchors)
        return boxes

    def _detect(
        self, boxes: Tensor, probabilities: Tensor, levels: Tensor | None, threshold: float
    ) -> Detections:
        """Keep the best of what passes: boxes [N, 4], probabilities [N, K], levels [N]."""
        anchor, column = (probabilities > threshold).nonzero(as_tuple=True)
        scores = probabilities[anchor, column]
        groups = column if levels is None else levels[anchor]
        chosen = highest_of_each(scores, groups, self.network.topk_candidates)
        return suppress(boxes[anchor[chosen]], scores[chosen], column[chosen] + 1, self.spec)


def anchor_levels(maps: Sequence[Tensor], num_anchors: int) -> Tensor:
    """Return the level of each anchor, int64 [A], if all cells have the same number of them."""
    cells = [level.shape[-2] * level.shape[-1] for level in maps]
    levels = torch.arange(len(cells), device=maps[0].device)
    counts = torch.tensor(cells, device=levels.device) * (num_anchors // sum(cells))
    return levels.repeat_interleave(counts)
