import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from models.detectors.detector import PreparedImage
from models.detectors.foreign.detector import ForeignDetector, trial_images
from models.detectors.foreign.errors import (
    ForeignDetectorError,
    LayoutMismatchError,
    LayoutUnknownError,
)
from models.detectors.foreign.inspection import SpecOverrides, inspect_onnx
from models.detectors.foreign.preprocess import prepare_pixels
from models.detectors.foreign.runtime import Network, OnnxRuntimeNetwork, OpenVinoNetwork
from models.detectors.foreign.spec import ForeignSpec, Layout, Resize
from models.inference.predict import predict
from tests.models.detectors.foreign.networks import (
    CLASS_NAMES,
    HEIGHT,
    STRIDES,
    THRESHOLD,
    WIDTH,
    GridNetwork,
    box_from_distances,
    export,
    xyxy,
)

RUNTIMES = {"onnxruntime": OnnxRuntimeNetwork, "openvino": OpenVinoNetwork}


def spec_of(layout: Layout, **changes: object) -> ForeignSpec:
    values: dict[str, object] = {
        "layout": layout,
        "class_names": CLASS_NAMES,
        "input_size": (HEIGHT, WIDTH),
        "strides": STRIDES,
        "score_threshold": 0.3,
    }
    if layout is Layout.ANCHORS_SOFTMAX:
        values["background_column"] = 0
    if layout is Layout.QUERIES_SOFTMAX:
        values["background_column"] = len(CLASS_NAMES)
    if layout in (Layout.DETECTIONS, Layout.TF_DETECTIONS):
        values["first_label"] = 1
    return ForeignSpec(**values | changes)  # type: ignore[arg-type]  # of many types


def image(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (1, 3, 6, 8), generator=generator).float()
    return torch.nn.functional.interpolate(coarse, (height, width))[0].to(torch.uint8)


@torch.inference_mode()
def expected(layout: Layout, pixels: Tensor) -> tuple[float, Tensor]:
    """Compute the highest log-odds with torch, and the box that has them."""
    raw, objectness, logits = (
        output[0].double() for output in GridNetwork().eval()(pixels[None].float() / 255)
    )
    if layout in (Layout.YOLO_OBJECTNESS, Layout.YOLOX):
        probability = objectness.sigmoid() * logits.sigmoid()
        log_odds = probability.log() - torch.log1p(-probability)
    elif layout in (Layout.ANCHORS_SOFTMAX, Layout.QUERIES_SOFTMAX):
        probability = torch.cat([-objectness, logits], dim=1).softmax(1)[:, 1:]
        log_odds = probability.log() - torch.log1p(-probability)
    else:
        log_odds = logits
    best = log_odds.max(dim=1).values
    boxes = box_from_distances(raw) if layout is Layout.NANODET else xyxy(raw)
    return float(best.max()), boxes.float()[best.argmax()]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("layout", Layout)
def test_highest_score_and_its_box_are_those_of_torch(
    layout: Layout, runtime: str, tmp_path: Path
) -> None:
    export(layout, tmp_path / "network.onnx")
    network: Network = RUNTIMES[runtime](tmp_path / "network.onnx")
    detector = ForeignDetector(spec_of(layout), network)
    pixels = image(1)

    (found,) = predict(detector, [detector.preprocess(pixels)])

    log_odds, box = expected(layout, pixels)
    assert found.log_odds == pytest.approx(log_odds, abs=1e-5)
    assert len(found.detections) > 0
    box = box.clamp(min=0).minimum(torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT]))
    assert float(box_iou(box[None], found.detections.boxes[:1])) > 0.99
    assert found.detections.scores.tolist() == sorted(found.detections.scores, reverse=True)


@pytest.mark.parametrize(
    "layout", [x for x in Layout if x not in (Layout.DETECTIONS, Layout.TF_DETECTIONS)]
)
def test_batch_gives_each_image_what_it_gets_alone(layout: Layout, tmp_path: Path) -> None:
    export(layout, tmp_path / "network.onnx", dynamic=True)
    detector = ForeignDetector(spec_of(layout), OnnxRuntimeNetwork(tmp_path / "network.onnx"))
    images = [detector.preprocess(image(seed)) for seed in range(5)]

    together = predict(detector, images)

    for one, prepared in zip(together, images, strict=True):
        (alone,) = predict(detector, [prepared])
        assert one.log_odds == alone.log_odds
        assert torch.equal(one.detections.boxes, alone.detections.boxes)


def test_file_whose_batch_is_fixed_runs_image_by_image(tmp_path: Path) -> None:
    export(Layout.YOLO, tmp_path / "network.onnx")
    detector = ForeignDetector(spec_of(Layout.YOLO), OnnxRuntimeNetwork(tmp_path / "network.onnx"))
    pixels = [image(seed) for seed in range(3)]

    found = predict(detector, [detector.preprocess(one) for one in pixels])

    assert not detector.runs_batches
    assert [one.log_odds for one in found] == pytest.approx(
        [expected(Layout.YOLO, one)[0] for one in pixels], abs=1e-5
    )


def test_suppressed_file_gives_no_score_where_it_finds_nothing(tmp_path: Path) -> None:
    export(Layout.SUPPRESSED, tmp_path / "network.onnx")
    network = OnnxRuntimeNetwork(tmp_path / "network.onnx")
    detector = ForeignDetector(spec_of(Layout.SUPPRESSED), network)
    pixels = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    (found,) = predict(detector, [detector.preprocess(pixels)])
    best = float(torch.tensor(expected(Layout.SUPPRESSED, pixels)[0]).sigmoid())

    assert (found.log_odds is None) == (best <= THRESHOLD)


@pytest.mark.parametrize("resize", Resize)
@pytest.mark.parametrize(("height", "width"), [(60, 200), (300, 100), (97, 131), (1, 1)])
def test_boxes_come_back_to_within_a_pixel(resize: Resize, height: int, width: int) -> None:
    detector_spec = spec_of(Layout.YOLO, resize=resize)
    pixels = torch.zeros(3, height, width, dtype=torch.uint8)
    x1, y1, x2, y2 = width // 4, height // 4, max(1, 3 * width // 4), max(1, 3 * height // 4)
    pixels[:, y1:y2, x1:x2] = 255
    prepared = prepare_pixels(detector_spec, pixels)

    assert prepared.pixels.shape == (3, HEIGHT, WIDTH)
    on = (prepared.pixels[0] > 150).nonzero()
    if min(height, width) > 4:
        low, high = on.min(dim=0).values, on.max(dim=0).values + 1
        box = torch.tensor([[low[1], low[0], high[1], high[0]]]).float()
        back = prepared.placement.to_original(box)[0]
        step = max(prepared.placement.factor)
        assert (back - torch.tensor([x1, y1, x2, y2])).abs().max() <= max(1.0, step)


def test_outputs_of_another_number_of_classes_are_refused(tmp_path: Path) -> None:
    export(Layout.YOLO, tmp_path / "network.onnx")
    network = OnnxRuntimeNetwork(tmp_path / "network.onnx")

    with pytest.raises(LayoutMismatchError, match=r"with 2 classes: the file gives output0"):
        ForeignDetector(spec_of(Layout.YOLO, class_names=("a", "b")), network)


@pytest.mark.parametrize(
    ("layout", "found"),
    [
        (Layout.YOLO, Layout.YOLO),
        (Layout.QUERIES, Layout.QUERIES),
        (Layout.QUERIES_SOFTMAX, Layout.QUERIES_SOFTMAX),
        (Layout.TOP_QUERIES, Layout.TOP_QUERIES),
        (Layout.DETECTIONS, Layout.DETECTIONS),
        (Layout.TF_DETECTIONS, Layout.TF_DETECTIONS),
    ],
)
def test_layout_is_told_by_shapes(layout: Layout, found: Layout, tmp_path: Path) -> None:
    export(layout, tmp_path / "network.onnx")

    assert (
        inspect_onnx(tmp_path / "network.onnx", SpecOverrides(class_names=CLASS_NAMES)).spec.layout
        is found
    )


@pytest.mark.parametrize(
    ("layout", "fitting"),
    [
        (Layout.YOLO_OBJECTNESS, "yolo-objectness, yolox"),
        (Layout.TOP_K, "top-k, suppressed"),
        (Layout.NANODET, "no layout fits"),
    ],
)
def test_layout_that_shapes_do_not_tell_is_asked_for(
    layout: Layout, fitting: str, tmp_path: Path
) -> None:
    export(layout, tmp_path / "network.onnx")

    with pytest.raises(LayoutUnknownError, match=fitting):
        inspect_onnx(tmp_path / "network.onnx", SpecOverrides(class_names=CLASS_NAMES))


def test_class_names_are_asked_for(tmp_path: Path) -> None:
    export(Layout.QUERIES, tmp_path / "network.onnx")

    with pytest.raises(ForeignDetectorError, match="--class-names"):
        inspect_onnx(tmp_path / "network.onnx", SpecOverrides(layout=Layout.QUERIES))


def test_score_that_is_not_a_number_comes_through(tmp_path: Path) -> None:
    export(Layout.YOLO, tmp_path / "network.onnx")
    network = OnnxRuntimeNetwork(tmp_path / "network.onnx")
    detector = ForeignDetector(spec_of(Layout.YOLO), network)
    broken = PreparedImage(torch.full((3, HEIGHT, WIDTH), math.nan), (HEIGHT, WIDTH))

    (found,) = detector.score_images([broken])

    assert math.isnan(found.log_odds or 0.0)


def test_trial_images_differ() -> None:
    first, second, third = trial_images(spec_of(Layout.YOLO))

    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
