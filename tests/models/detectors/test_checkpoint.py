"""A checkpoint alone rebuilds its detector; anything else is refused with a reason."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.detectors import Detector, build
from models.detectors.checkpoint import (
    METADATA_KEY,
    CheckpointError,
    load_checkpoint,
    read_spec,
    save_checkpoint,
)
from models.inference.predict import predict
from tests.models.conftest import EVERY_ARCHITECTURE, build_small, draw_images, propose_few

Metadata = dict[str, object]


@pytest.fixture(scope="module")
def small() -> Detector:
    return build_small("ssd_small").eval()


@pytest.fixture
def checkpoint(small: Detector, tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_checkpoint(small, path)
    return path


def _metadata(path: Path) -> Metadata:
    header = json.loads(path.read_bytes()[8:].split(b"}}", 1)[0].decode(errors="ignore") + "}}")
    values: Metadata = json.loads(header["__metadata__"][METADATA_KEY])
    return values


def _rewrite(path: Path, metadata: dict[str, str] | None) -> None:
    save_file(load_file(path), path, metadata)


@pytest.mark.parametrize("family", EVERY_ARCHITECTURE, indirect=True)
def test_a_checkpoint_rebuilds_any_family(family: str, tmp_path: Path) -> None:
    detector = build_small(family).eval()
    image = detector.preprocess(draw_images([(80, 120)])[0])

    save_checkpoint(detector, tmp_path / "any.safetensors")
    loaded = load_checkpoint(tmp_path / "any.safetensors")

    assert read_spec(tmp_path / "any.safetensors") == loaded.spec == detector.spec
    assert not loaded.training
    propose_few(loaded.network)
    assert predict(loaded, [image])[0].log_odds == predict(detector, [image])[0].log_odds


def test_equal_detectors_give_equal_bytes(small: Detector, checkpoint: Path) -> None:
    buffer = io.BytesIO()

    save_checkpoint(small, buffer)

    assert buffer.getvalue() == checkpoint.read_bytes()
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_loading_keeps_the_random_state(checkpoint: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    load_checkpoint(checkpoint)

    assert torch.rand(1) == expected


def test_a_spec_is_read_from_the_header_alone(small: Detector, checkpoint: Path) -> None:
    data = bytearray(checkpoint.read_bytes())
    data[-1000:] = b"\xff" * 1000  # not finite
    checkpoint.write_bytes(data)

    assert read_spec(checkpoint) == small.spec
    with pytest.raises(CheckpointError, match="not finite"):
        load_checkpoint(checkpoint)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _break_header(path: Path) -> None:
    path.write_bytes((2**63).to_bytes(8, "little") + path.read_bytes()[8:])


def _drop_tensor(path: Path) -> None:
    state, metadata = load_file(path), {METADATA_KEY: json.dumps(_metadata(path))}
    state.pop("backbone.laterals.0.0.weight")
    save_file(state, path, metadata)


def _add_tensor(path: Path) -> None:
    state, metadata = load_file(path), {METADATA_KEY: json.dumps(_metadata(path))}
    save_file({**state, "extra": torch.zeros(1)}, path, metadata)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "there is no checkpoint small.safetensors"),
        (lambda path: path.write_bytes(b""), "not a whole safetensors file"),
        (lambda path: path.write_bytes(b"\x80\x04pickle"), "not a whole safetensors file"),
        (_truncate, "not a whole safetensors file"),
        (_break_header, "not a whole safetensors file"),
        (lambda path: _rewrite(path, None), "has no entry 'hardneg'"),
        (lambda path: _rewrite(path, {METADATA_KEY: "{"}), "is not JSON"),
        (lambda path: _rewrite(path, {METADATA_KEY: "[" * 100_000}), "is not JSON"),
        (lambda path: _rewrite(path, {METADATA_KEY: "[]"}), "not a JSON object"),
        (lambda path: _rewrite(path, {METADATA_KEY: "{}"}), "format None is not known"),
        (_drop_tensor, "1 tensors are missing: backbone.laterals.0.0.weight"),
        (_add_tensor, "1 tensors do not belong there: extra"),
    ],
)
def test_a_damaged_file_is_refused(
    checkpoint: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(checkpoint)

    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(checkpoint)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        read_spec(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"architecture": "yolo"}, "unknown architecture 'yolo'"),
        ({"architecture": 7}, "architecture must hold str, not int"),
        ({"architecture": "ssd300_vgg16"}, "takes 300 x 300"),
        ({"class_names": []}, "needs 1 to 2000 class names"),
        ({"class_names": ["a"] * 2}, "must differ"),
        ({"class_names": [f"{i}" for i in range(3000)]}, "needs 1 to 2000 class names"),
        ({"class_names": ["x" * 1000]}, "must have 1 to 200 letters"),
        ({"class_names": "cat"}, "class_names must hold list, not str"),
        ({"class_names": ["cat"]}, "has shape"),
        ({"input_size": [160]}, "must have 2 items"),
        ({"input_size": [10**9, 10**9]}, "sides of 32 to 2048"),
        ({"input_size": [160.0, 160.0]}, "input_size must hold int, not float"),
        ({"image_mean": [0, 0, float("nan")]}, "image_mean must be three numbers"),
        ({"image_std": [1, 1, 0]}, "image_std must be three numbers"),
        ({"image_std": [1, 1, 10**400]}, "does not describe a detector"),
        ({"score_threshold": float("nan")}, r"score_threshold must be in \[0, 1\]"),
        ({"nms_threshold": 1.5}, r"nms_threshold must be in \[0, 1\]"),
        ({"detections_per_image": 10**9}, "detections_per_image must be 1 to 10000"),
        ({"detections_per_image": True}, "detections_per_image must hold int, not bool"),
        ({"antialias": "yes"}, "antialias must hold bool, not str"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"format": 2}, "format 2 is not known"),
    ],
)
def test_metadata_out_of_range_is_refused(checkpoint: Path, change: Metadata, reason: str) -> None:
    _rewrite(checkpoint, {METADATA_KEY: json.dumps({**_metadata(checkpoint), **change})})

    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(checkpoint)


def test_a_missing_field_is_named(checkpoint: Path) -> None:
    values = _metadata(checkpoint)
    del values["nms_threshold"]
    _rewrite(checkpoint, {METADATA_KEY: json.dumps(values)})

    with pytest.raises(CheckpointError, match="nms_threshold is missing"):
        read_spec(checkpoint)


def test_half_precision_weights_are_loaded(small: Detector, checkpoint: Path) -> None:
    metadata = {METADATA_KEY: json.dumps(_metadata(checkpoint))}
    halves = {n: t.half() if t.is_floating_point() else t for n, t in load_file(checkpoint).items()}
    save_file(halves, checkpoint, metadata)

    loaded = load_checkpoint(checkpoint)

    assert {t.dtype for t in loaded.parameters()} == {torch.float32}


def test_a_failed_save_leaves_the_old_file(small: Detector, checkpoint: Path) -> None:
    before = checkpoint.read_bytes()

    with pytest.raises(OSError, match="directory"):
        save_checkpoint(small, checkpoint / "below")

    assert checkpoint.read_bytes() == before


def test_a_path_can_be_a_string(tmp_path: Path) -> None:
    save_checkpoint(build("ssd_small", ["cat"]), str(tmp_path / "text.safetensors"))

    assert read_spec(str(tmp_path / "text.safetensors")).class_names == ("cat",)
