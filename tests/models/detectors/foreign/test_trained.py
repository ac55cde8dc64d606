"""A trained network in every layout: scores, boxes and their way back to images of any sides."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import batched_nms, box_iou

from models.detectors.detections import Detections
from models.detectors.foreign.detector import ForeignDetector
from models.detectors.foreign.runtime import Network, OnnxRuntimeNetwork, OpenVinoNetwork
from models.detectors.foreign.spec import ForeignSpec, Layout, Resize
from models.inference.predict import predict
from tests.models.detectors.foreign.networks import (
    BEST,
    HEIGHT,
    THRESHOLD,
    WIDTH,
    box_from_distances,
    export,
    xyxy,
)
from tests.models.detectors.foreign.test_layouts import spec_of
from tests.models.detectors.foreign.trained import DIGIT_NAMES, scenes, trained_network, wide

RUNTIMES = {"onnxruntime": OnnxRuntimeNetwork, "openvino": OpenVinoNetwork}
WITHOUT_NMS = (Layout.TOP_K, Layout.TOP_QUERIES, Layout.DETECTIONS, Layout.TF_DETECTIONS)
SCORE_THRESHOLD = 0.2


@cache
def images() -> list[Tensor]:
    """Pictures of several sides, most with digits in them."""
    drawn = scenes(10, stream=1)
    pictures = [wide(drawn[n], drawn[n + 1])[0] for n in range(4)]
    pictures += [wide(drawn[n], drawn[n + 1])[0].transpose(1, 2).contiguous() for n in (4, 5)]
    return [*pictures, wide(drawn[6], drawn[7])[0][:, 3:, 20:], wide(drawn[8], drawn[9])[0]]


def digit_spec(layout: Layout, **changes: object) -> ForeignSpec:
    values: dict[str, object] = {"class_names": DIGIT_NAMES, "score_threshold": SCORE_THRESHOLD}
    if layout is Layout.QUERIES_SOFTMAX:
        values["background_column"] = len(DIGIT_NAMES)
    return spec_of(layout, **values | changes)


def probabilities(layout: Layout, objectness: Tensor, logits: Tensor) -> Tensor:
    """Probabilities of the object classes, float64 [N, K], by the layout's formula."""
    if layout in (Layout.YOLO_OBJECTNESS, Layout.YOLOX):
        return objectness.sigmoid() * logits.sigmoid()
    if layout in (Layout.ANCHORS_SOFTMAX, Layout.QUERIES_SOFTMAX):
        return torch.cat([-objectness, logits], dim=1).softmax(1)[:, 1:]
    return logits.sigmoid()


@torch.inference_mode()
def torch_finds(
    spec: ForeignSpec, pixels: Tensor, inner: tuple[int, int], offset: tuple[int, int]
) -> tuple[float | None, Detections]:
    """
    Score one input, uint8 [3, h, w], without ONNX and without code of the package.

    The image itself has the (height, width) `inner`, with its corner at `offset` (x, y).
    """
    outputs = trained_network()(pixels[None].float() / 255)
    raw, objectness, logits = (output[0].double() for output in outputs)
    found = probabilities(spec.layout, objectness, logits)
    log_odds = (found.log() - torch.log1p(-found)).max()
    boxes = box_from_distances(raw) if spec.layout is Layout.NANODET else xyxy(raw)
    (left, top), (height, width) = offset, inner
    boxes = boxes.maximum(torch.tensor([left, top, left, top]))
    boxes = boxes.minimum(torch.tensor([left + width, top + height] * 2))
    lowest = spec.score_threshold
    if spec.layout is Layout.SUPPRESSED:
        lowest = max(lowest, THRESHOLD)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    row, column = ((found > lowest) & has_area[:, None]).nonzero(as_tuple=True)
    scores = found[row, column]
    if spec.layout in (*WITHOUT_NMS, Layout.SUPPRESSED):
        kept = scores.argsort(descending=True)[:BEST]
    else:
        kept = batched_nms(boxes[row], scores, column, spec.nms_threshold)
    has_score = spec.layout is not Layout.SUPPRESSED or bool((found > THRESHOLD).any())
    detections = Detections(boxes[row][kept], scores[kept], column[kept] + 1)
    return (float(log_odds) if has_score else None), detections


def assert_same(found: Detections, expected: Detections) -> None:
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.scores.tolist() == pytest.approx(expected.scores.tolist(), abs=1e-5)
    overlaps = box_iou(found.boxes.double(), expected.boxes).diagonal()
    assert (overlaps > 0.99).all()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("layout", Layout)
def test_every_layout_gives_what_torch_gives(layout: Layout, runtime: str, tmp_path: Path) -> None:
    export(layout, tmp_path / "digits.onnx", network=trained_network())
    network: Network = RUNTIMES[runtime](tmp_path / "digits.onnx")
    spec = digit_spec(layout)
    detector = ForeignDetector(spec, network)
    num_detections = 0

    for image in images():
        prepared = detector.preprocess(image)
        (scored,) = detector.score_images([prepared])
        inner, offset = independent_placement(spec.resize, prepared.original_size)
        log_odds, detections = torch_finds(spec, prepared.pixels, inner, offset)

        assert scored.log_odds == (None if log_odds is None else pytest.approx(log_odds, abs=1e-5))
        assert_same(scored.detections, detections)
        num_detections += len(detections)
    assert num_detections > 0


def test_trained_network_finds_most_digits_where_they_are(tmp_path: Path) -> None:
    export(Layout.YOLO_OBJECTNESS, tmp_path / "digits.onnx", network=trained_network())
    detector = ForeignDetector(
        digit_spec(Layout.YOLO_OBJECTNESS, resize=Resize.STRETCH, score_threshold=0.0),
        OnnxRuntimeNetwork(tmp_path / "digits.onnx"),
    )
    drawn = scenes(40, stream=2)
    num_found = 0
    for scene in drawn:
        pixels = torch.from_numpy(scene.pixels).permute(2, 0, 1).contiguous()
        (prediction,) = predict(detector, [detector.preprocess(pixels)])
        truth = torch.tensor([placed.box for placed in scene.digits])
        best = prediction.detections.boxes[:1]
        num_found += bool((box_iou(best, truth) > 0.5).any())
    assert num_found >= len(drawn) // 2


@pytest.mark.parametrize("resize", Resize)
@pytest.mark.parametrize("sides", [(160, 320), (320, 160), (157, 301), (211, 97), (75, 128)])
def test_boxes_of_any_sides_lie_where_an_independent_resize_puts_them(
    resize: Resize, sides: tuple[int, int], tmp_path: Path
) -> None:
    export(Layout.YOLO, tmp_path / "digits.onnx", network=trained_network())
    spec = digit_spec(Layout.YOLO, resize=resize, score_threshold=0.02, nms_threshold=1.0)
    detector = ForeignDetector(spec, OnnxRuntimeNetwork(tmp_path / "digits.onnx"))
    num_compared = 0

    for image in images():
        pixels = torch.nn.functional.interpolate(image[None].float(), sides)[0].to(torch.uint8)
        (found,) = predict(detector, [detector.preprocess(pixels)])
        inner, offset = independent_placement(resize, sides)
        network_input = independent_input(pixels, inner, offset)
        expected = torch_finds(spec, network_input, inner, offset)[1]

        boxes = found.detections.boxes.double()
        for box in to_original(expected.boxes[:1], inner, offset, sides):
            nearest = boxes[(boxes - box).abs().amax(dim=1).argmin()]
            assert (nearest - box).abs().max() <= 1.0
        assert (found.detections.boxes <= torch.tensor([sides[1], sides[0]] * 2) + 1e-3).all()
        assert (found.detections.boxes >= -1e-3).all()
        num_compared += len(expected.boxes[:1])
    assert num_compared >= 4


def independent_placement(
    resize: Resize, sides: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Inner (height, width) and offset (x, y), by the exporters' formulas."""
    height, width = sides
    if resize is Resize.STRETCH:
        return (HEIGHT, WIDTH), (0, 0)
    scale = min(WIDTH / width, HEIGHT / height)
    if resize is Resize.LETTERBOX_TOP_LEFT:
        return (int(height * scale), int(width * scale)), (0, 0)
    inner = round(height * scale), round(width * scale)
    left, top = (WIDTH - inner[1]) / 2, (HEIGHT - inner[0]) / 2
    return inner, (round(left - 0.1), round(top - 0.1))


def independent_input(pixels: Tensor, inner: tuple[int, int], offset: tuple[int, int]) -> Tensor:
    """Resize with numpy, bilinear at the centres of pixels, onto a grey canvas."""
    source = pixels.permute(1, 2, 0).numpy().astype(np.float64)
    rows = _interpolated(source, inner[0])
    resized = _interpolated(rows.transpose(1, 0, 2), inner[1]).transpose(1, 0, 2)
    canvas = np.full((HEIGHT, WIDTH, 3), 114, dtype=np.uint8)
    left, top = offset
    canvas[top : top + inner[0], left : left + inner[1]] = np.rint(resized)
    return torch.from_numpy(canvas).permute(2, 0, 1)


def _interpolated(array: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    places = ((np.arange(count) + 0.5) * len(array) / count - 0.5).clip(0, len(array) - 1)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, len(array) - 1)
    share = (places - below)[:, None, None]
    mixed: NDArray[np.float64] = (1 - share) * array[below] + share * array[above]
    return mixed


def to_original(
    boxes: Tensor, inner: tuple[int, int], offset: tuple[int, int], sides: tuple[int, int]
) -> Tensor:
    scale = torch.tensor([sides[1] / inner[1], sides[0] / inner[0]] * 2)
    return (boxes - torch.tensor([*offset, *offset])) * scale
