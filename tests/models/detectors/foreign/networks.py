"""One small network whose outputs are written in every layout, and exported to ONNX."""

import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from models.detectors.foreign.spec import Layout

CLASS_NAMES = ("cat", "dog", "owl")
STRIDES = (8, 16)
HEIGHT, WIDTH = 96, 128
THRESHOLD = 0.45  # of the suppressed layout
BINS = 16  # of each distance in the layout `nanodet`
BEST = 40  # rows of the layouts that give the best boxes only


class GridNetwork(nn.Module):
    """Boxes and class logits in the cells of two levels, with weights that make them differ."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        channels = (3, 16, 32, 48)
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
        self.backbone = nn.Sequential(*layers)
        self.down = nn.Sequential(nn.Conv2d(48, 48, 3, 2, 1), nn.ReLU())
        self.head = nn.Conv2d(48, len(CLASS_NAMES) + 5, 1)
        for parameter in self.parameters():
            parameter.data *= 2.5

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images [B, 3, H, W] to raw boxes [B, N, 4], objectness [B, N, 1], logits [B, N, K]."""
        fine = self.backbone(images)
        maps = [self.head(level).flatten(2) for level in (fine, self.down(fine))]
        rows = torch.cat(maps, dim=2).transpose(1, 2).tanh() * 2
        return rows[..., :4], rows[..., 4:5], rows[..., 5:]


def grid() -> tuple[Tensor, Tensor]:
    """Cells (x, y) [N, 2] and strides [N, 1]."""
    points, strides = [], []
    for stride in STRIDES:
        rows, columns = HEIGHT // stride, WIDTH // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        points.append(torch.stack([x.flatten(), y.flatten()], dim=1))
        strides.append(torch.full((rows * columns, 1), float(stride)))
    return torch.cat(points).float(), torch.cat(strides)


def cxcywh(raw: Tensor) -> Tensor:
    points, strides = grid()
    return torch.cat([(raw[..., :2] + points) * strides, raw[..., 2:].exp() * strides], dim=-1)


def xyxy(raw: Tensor) -> Tensor:
    boxes = cxcywh(raw)
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def distances(raw: Tensor) -> Tensor:
    """Distances in cells from each cell's corner to left, top, right and bottom, [B, N, 4]."""
    half = raw[..., 2:].exp() / 2
    return torch.cat([half - raw[..., :2], half + raw[..., :2]], dim=-1).clamp(0, BINS - 1)


def box_from_distances(raw: Tensor) -> Tensor:
    points, strides = grid()
    left_top, right_bottom = distances(raw).chunk(2, dim=-1)
    return torch.cat([points - left_top, points + right_bottom], dim=-1) * strides


class InLayout(nn.Module):
    """The network with its outputs in one layout."""

    def __init__(self, network: nn.Module, write: Callable[..., object]) -> None:
        super().__init__()
        self.network = network
        self.write = write

    def forward(self, images: Tensor, *more: Tensor) -> object:
        return self.write(*self.network(images), *more)


def _yolo(raw: Tensor, _: Tensor, logits: Tensor) -> Tensor:
    return torch.cat([cxcywh(raw), logits.sigmoid()], dim=-1).transpose(1, 2)


def _objectness(raw: Tensor, objectness: Tensor, logits: Tensor) -> Tensor:
    return torch.cat([cxcywh(raw), objectness.sigmoid(), logits.sigmoid()], dim=-1)


def _yolox(raw: Tensor, objectness: Tensor, logits: Tensor) -> Tensor:
    return torch.cat([raw, objectness.sigmoid(), logits.sigmoid()], dim=-1)


def _best(raw: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    scores, flat = logits.sigmoid().flatten(1).topk(BEST)
    row = flat // logits.shape[-1]
    boxes = xyxy(raw).gather(1, row.unsqueeze(-1).expand(-1, -1, 4))
    return boxes, scores, flat % logits.shape[-1]


def _top_k(raw: Tensor, _: Tensor, logits: Tensor) -> Tensor:
    boxes, scores, labels = _best(raw, logits)
    return torch.cat([boxes, scores.unsqueeze(-1), labels.unsqueeze(-1).float()], dim=-1)


def _suppressed(raw: Tensor, objectness: Tensor, logits: Tensor) -> Tensor:
    rows = _top_k(raw, objectness, logits)
    return rows * (rows[..., 4:5] > THRESHOLD)


def _queries(raw: Tensor, _: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    return logits, cxcywh(raw) / torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])


def _queries_softmax(raw: Tensor, objectness: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cat([logits, -objectness], dim=-1), _queries(raw, objectness, logits)[1]


def _top_queries(
    raw: Tensor, _: Tensor, logits: Tensor, sizes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    boxes, scores, labels = _best(raw, logits)
    unit = boxes / torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    return labels, unit * sizes.repeat(1, 2).unsqueeze(1), scores


def _nanodet(raw: Tensor, _: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    weights = (1 - (distances(raw).unsqueeze(-1) - torch.arange(BINS)).abs()).clamp(min=1e-9)
    return logits.sigmoid(), weights.log().flatten(-2)


def _anchors(raw: Tensor, objectness: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    probabilities = torch.cat([-objectness, logits], dim=-1).softmax(-1)
    return probabilities, xyxy(raw) / torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])


def _detections(raw: Tensor, _: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    boxes, scores, labels = _best(raw, logits)
    return boxes[0], labels[0] + 1, scores[0]


def _tf(raw: Tensor, _: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    boxes, scores, labels = _best(raw, logits)
    unit = boxes / torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    return unit[..., [1, 0, 3, 2]], labels.float() + 1, scores


WRITERS: dict[Layout, Callable[..., object]] = {
    Layout.YOLO: _yolo,
    Layout.YOLO_OBJECTNESS: _objectness,
    Layout.YOLOX: _yolox,
    Layout.TOP_K: _top_k,
    Layout.SUPPRESSED: _suppressed,
    Layout.QUERIES: _queries,
    Layout.QUERIES_SOFTMAX: _queries_softmax,
    Layout.TOP_QUERIES: _top_queries,
    Layout.NANODET: _nanodet,
    Layout.ANCHORS_SOFTMAX: _anchors,
    Layout.DETECTIONS: _detections,
    Layout.TF_DETECTIONS: _tf,
}
OUTPUT_NAMES = {
    Layout.QUERIES: ["logits", "pred_boxes"],
    Layout.QUERIES_SOFTMAX: ["logits", "pred_boxes"],
    Layout.TOP_QUERIES: ["labels", "boxes", "scores"],
    Layout.NANODET: ["cls", "dis"],
    Layout.ANCHORS_SOFTMAX: ["scores", "boxes"],
    Layout.DETECTIONS: ["boxes", "labels", "scores"],
    Layout.TF_DETECTIONS: ["detection_boxes", "detection_classes", "detection_scores"],
}


class _FromUint8(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> object:
        return self.network(images.permute(0, 3, 1, 2).float() / 255)


def export(
    layout: Layout, path: Path, *, dynamic: bool = False, network: nn.Module | None = None
) -> None:
    """Write a network, by default GridNetwork, its batch fixed at one unless `dynamic`."""
    network = InLayout(network or GridNetwork(), WRITERS[layout])
    images = torch.zeros(1, 3, HEIGHT, WIDTH)
    inputs: tuple[Tensor, ...] = (images,)
    names = ["images"]
    if layout is Layout.TF_DETECTIONS:
        network = _FromUint8(network)
        inputs = (torch.zeros(1, HEIGHT, WIDTH, 3, dtype=torch.uint8),)
    if layout is Layout.TOP_QUERIES:
        inputs, names = (images, torch.tensor([[WIDTH, HEIGHT]])), ["images", "orig_target_sizes"]
    output_names = OUTPUT_NAMES.get(layout, ["output0"])
    axes = {name: {0: "batch"} for name in [*names, *output_names]} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is deprecated
        torch.onnx.export(
            network.eval(),
            inputs,
            path,
            input_names=names,
            output_names=output_names,
            dynamic_axes=axes,
            dynamo=False,
        )
