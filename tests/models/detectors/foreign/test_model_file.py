from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from models.detectors.foreign.errors import ForeignDetectorError
from models.detectors.foreign.file import load_foreign, read_foreign_spec, save_foreign
from models.detectors.foreign.model_file import (
    read_metadata,
    require_self_contained,
    write_with_entry,
)
from models.detectors.foreign.runtime import OnnxRuntimeNetwork, OpenVinoNetwork
from models.detectors.foreign.spec import Layout
from models.detectors.foreign.spec_text import parse_spec, spec_text
from models.inference.predict import predict
from tests.models.detectors.foreign.networks import export
from tests.models.detectors.foreign.test_layouts import image, spec_of


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    export(Layout.YOLO, path)
    return path


def test_appended_entry_is_read_back_by_every_reader(network: Path, tmp_path: Path) -> None:
    target = tmp_path / "with-spec.onnx"

    write_with_entry(network, target, "hardneg", '{"a": "ü"}')

    assert read_metadata(target)["hardneg"] == '{"a": "ü"}'
    model = onnx.load(target)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key: entry.value for entry in model.metadata_props}["hardneg"] == '{"a": "ü"}'
    assert OnnxRuntimeNetwork(target).outputs == OnnxRuntimeNetwork(network).outputs
    assert [port.shape for port in OpenVinoNetwork(target).outputs] == [
        port.shape for port in OpenVinoNetwork(network).outputs
    ]


def test_entry_set_twice_stands_there_once(network: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{number}.onnx" for number in range(3))
    write_with_entry(network, first, "hardneg", "old")
    write_with_entry(network, second, "hardneg", "new")

    write_with_entry(first, third, "hardneg", "new")

    assert third.read_bytes() == second.read_bytes()


def test_file_rebuilds_its_detector(network: Path, tmp_path: Path) -> None:
    spec = spec_of(Layout.YOLO)
    save_foreign(network, spec, tmp_path / "version.onnx")

    detector = load_foreign(tmp_path / "version.onnx")

    assert detector.spec == spec == read_foreign_spec(tmp_path / "version.onnx")
    assert len(predict(detector, [detector.preprocess(image(0))])) == 1


def test_spec_survives_its_text() -> None:
    spec = spec_of(Layout.NANODET, strides=(8, 16, 32, 64), pad_value=0)

    assert parse_spec(spec_text(spec)) == spec


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"format": 1', '"format": 2'),
        ('"pad_value": 114', '"pad_value": "x"'),
        ('"pad_value": 114', '"pad_value": 999'),
        ('"antialias": false', '"antialias": 0'),
        ('"input_size": [96, 128]', '"input_size": [96]'),
        ('"layout": "yolo"', '"layout": "unheard-of"'),
        ('"strides": [8, 16]', '"stripes": [8, 16]'),
    ],
)
def test_spec_that_this_program_did_not_write_is_refused(old: str, new: str) -> None:
    text = spec_text(spec_of(Layout.YOLO))
    assert old in text

    with pytest.raises(ForeignDetectorError):
        parse_spec(text.replace(old, new))


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    weights.ClearField("float_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g", [images], [result], [weights]
    )
    path = tmp_path / "external.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())

    with pytest.raises(ForeignDetectorError, match="keeps weights in other files"):
        require_self_contained(path)


@pytest.mark.parametrize("content", [b"", b"\x08", b"not a model at all", b"\x89PNG\r\n\x1a\n"])
def test_other_bytes_are_no_model(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)

    with pytest.raises(ForeignDetectorError):
        read_metadata(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_file_is_refused_or_read_but_never_breaks(
    data: st.DataObject, network: Path, tmp_path: Path
) -> None:
    content = bytearray(network.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])

    try:
        read_metadata(path)
        require_self_contained(path)
    except ForeignDetectorError:
        pass
