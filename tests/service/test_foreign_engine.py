"""ONNX files in the inference engine: each image gets what it gets alone, to the last bit."""

from pathlib import Path

import pytest
import torch

from models.detectors.foreign.detector import ForeignDetector
from models.detectors.foreign.runtime import OnnxRuntimeNetwork, OpenVinoNetwork
from models.detectors.foreign.spec import Layout
from models.inference.predict import predict, prepare
from service.metrics import Metrics
from service.scoring.engine import ONLINE, RESCAN, InferenceEngine, LoadedVersion
from tests.models.detectors.foreign.networks import export
from tests.models.detectors.foreign.test_trained import digit_spec, images
from tests.models.detectors.foreign.trained import trained_network
from tests.scenes import encoded

RUNTIMES = {"onnxruntime": OnnxRuntimeNetwork, "openvino": OpenVinoNetwork}
FIXED_ONLY = (Layout.DETECTIONS, Layout.TF_DETECTIONS)
FILES = [
    (layout, is_dynamic)
    for layout in Layout
    for is_dynamic in (False, True)
    if not (is_dynamic and layout in FIXED_ONLY)
]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("layout", "is_dynamic"), FILES)
def test_engine_gives_every_image_what_it_gets_alone(
    layout: Layout, is_dynamic: bool, runtime: str, tmp_path: Path
) -> None:
    export(layout, tmp_path / "digits.onnx", dynamic=is_dynamic, network=trained_network())
    detector = ForeignDetector(digit_spec(layout), RUNTIMES[runtime](tmp_path / "digits.onnx"))
    pictures = [encoded(image.permute(1, 2, 0).numpy()) for image in images()]
    prepared = [prepare(detector, picture) for picture in pictures]
    version = LoadedVersion(1, "theirs", detector, batch_size=4)
    engine = InferenceEngine(0.003, Metrics(), num_threads=2)

    futures = [
        engine.submit(version, image, priority=ONLINE if number % 3 else RESCAN)
        for number, image in enumerate(prepared)
    ]
    engine.close()

    if runtime == "onnxruntime":
        assert detector.runs_batches is is_dynamic
    for image, future in zip(prepared, futures, strict=True):
        (alone,) = predict(detector, [image])
        found = future.result(0)
        assert found.log_odds == alone.log_odds
        assert torch.equal(found.detections.boxes, alone.detections.boxes)
        assert torch.equal(found.detections.scores, alone.detections.scores)
        assert torch.equal(found.detections.labels, alone.detections.labels)
