from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from models.detectors.foreign.errors import (
    ForeignDetectorError,
    LayoutUnknownError,
    ThresholdedExportError,
)
from models.detectors.foreign.file import save_foreign
from models.detectors.foreign.inspection import SpecOverrides, inspect_onnx
from models.detectors.foreign.model_file import write_with_entry
from models.detectors.foreign.spec import Layout
from models.inference.probe import probe
from tests.models.detectors.foreign.networks import CLASS_NAMES, HEIGHT, WIDTH, export

OVERRIDES = SpecOverrides(layout=Layout.YOLO, class_names=CLASS_NAMES)
SHAPE = [1, 3, HEIGHT, WIDTH]


def test_child_reports_what_the_file_is(tmp_path: Path) -> None:
    export(Layout.YOLO, tmp_path / "network.onnx", dynamic=True)

    report = probe(tmp_path / "network.onnx", OVERRIDES)

    assert report.spec == inspect_onnx(tmp_path / "network.onnx", OVERRIDES).spec
    assert report.inputs == {"images": [None, 3, HEIGHT, WIDTH]}
    assert report.outputs == {"output0": [1, 7, 240]}
    assert report.runtime.startswith("ONNX Runtime")


def model_of(nodes: list[NodeProto], constants: list[TensorProto], opset: int = 17) -> ModelProto:
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, SHAPE)
    result = helper.make_tensor_value_info("output0", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [images], [result], constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("mine", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def constant(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def huge_tensor() -> ModelProto:
    nodes = [helper.make_node("Expand", ["images", "shape"], ["output0"])]
    return model_of(nodes, [constant("shape", 10**8, 3, HEIGHT, WIDTH)])


def endless_loop() -> ModelProto:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Identity", ["before"], ["after"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, SHAPE),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, SHAPE),
        ],
    )
    yes = numpy_helper.from_array(np.array(True), "yes")
    count = numpy_helper.from_array(np.array(2**62, dtype=np.int64), "count")
    nodes = [helper.make_node("Loop", ["count", "yes", "images"], ["output0"], body=body)]
    return model_of(nodes, [yes, count])


def custom_operator() -> ModelProto:
    return model_of([helper.make_node("Odd", ["images"], ["output0"], domain="mine")], [])


def opset_of_the_future() -> ModelProto:
    return model_of([helper.make_node("Relu", ["images"], ["output0"])], [], opset=999)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "time_s", "reason"),
    [
        (huge_tensor, 60, r"memory|fails on a grey image|ended the process"),
        (endless_loop, 10, r"stopped after 10 s"),
        (custom_operator, 60, r"refuses the file"),
        (opset_of_the_future, 60, r"refuses the file"),
    ],
)
def test_hostile_file_is_refused_and_this_process_lives(
    make: Callable[[], ModelProto], time_s: float, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.onnx"
    path.write_bytes(make().SerializeToString())

    with pytest.raises(ForeignDetectorError, match=reason):
        probe(path, OVERRIDES, time_s=time_s)


def as_ultralytics(path: Path, **entries: str) -> None:
    """Give a file the metadata that the exporter of ultralytics writes."""
    written = {
        "task": "detect",
        "names": "{0: 'cat', 1: 'dog', 2: 'owl'}",
        "imgsz": f"[{HEIGHT}, {WIDTH}]",
        **entries,
    }
    for number, (key, value) in enumerate(written.items()):
        target = path.with_suffix(f".{number}")
        write_with_entry(path, target, key, value)
        path = target.replace(path)


def test_file_of_ultralytics_needs_nothing_said(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    export(Layout.YOLO, path)
    as_ultralytics(path)

    spec = inspect_onnx(path).spec

    assert (spec.layout, spec.class_names) == (Layout.YOLO, CLASS_NAMES)
    assert (spec.input_size, spec.resize, spec.pad_value) == ((HEIGHT, WIDTH), "letterbox", 114)


def test_end_to_end_file_of_ultralytics_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    export(Layout.TOP_K, path)
    as_ultralytics(path, end2end="True", args="{'nms': False}")

    assert inspect_onnx(path).spec.layout is Layout.TOP_K


def test_file_with_a_threshold_inside_is_refused_unless_said(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    export(Layout.SUPPRESSED, path)
    as_ultralytics(path, args="{'nms': True}")

    with pytest.raises(ThresholdedExportError, match="without nms=True"):
        inspect_onnx(path)
    assert (
        inspect_onnx(path, SpecOverrides(layout=Layout.SUPPRESSED)).spec.layout is Layout.SUPPRESSED
    )


@pytest.mark.parametrize("task", ["segment", "pose", "obb", "classify"])
def test_file_of_another_task_is_refused(task: str, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    export(Layout.YOLO, path)
    as_ultralytics(path, task=task)

    with pytest.raises(ForeignDetectorError, match="only detectors of boxes"):
        inspect_onnx(path)


def test_known_file_is_understood_again_and_what_is_said_replaces_a_part(tmp_path: Path) -> None:
    export(Layout.YOLO, tmp_path / "network.onnx")
    spec = inspect_onnx(tmp_path / "network.onnx", OVERRIDES).spec
    save_foreign(tmp_path / "network.onnx", spec, tmp_path / "version.onnx")

    again = inspect_onnx(tmp_path / "version.onnx").spec
    changed = inspect_onnx(tmp_path / "version.onnx", SpecOverrides(pad_value=0)).spec

    assert again == spec
    assert (changed.pad_value, changed.layout) == (0, spec.layout)


@pytest.mark.parametrize(
    ("overrides", "kind", "words"),
    [
        (SpecOverrides(layout=Layout.YOLO), ForeignDetectorError, "--class-names"),
        (SpecOverrides(preset="unheard-of"), ForeignDetectorError, "known are ultralytics"),
        (
            SpecOverrides(preset="yolox", class_names=CLASS_NAMES),
            LayoutUnknownError,
            "would fit: yolo.",
        ),
    ],
)
def test_missing_or_wrong_value_is_named(
    overrides: SpecOverrides, kind: type[Exception], words: str, tmp_path: Path
) -> None:
    export(Layout.YOLO, tmp_path / "network.onnx")

    with pytest.raises(kind, match=words):
        inspect_onnx(tmp_path / "network.onnx", overrides)
