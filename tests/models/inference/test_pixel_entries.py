"""Entries of the pixel cache give a network the very pixels of the file."""

import io
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from models.data.images import decode_file
from models.detectors.foreign.detector import ForeignDetector
from models.detectors.foreign.runtime import OnnxRuntimeNetwork
from models.detectors.foreign.spec import ForeignSpec, Layout, Resize
from models.detectors.scoring import ScoringDetector
from models.inference.pixel_entries import PixelEntry, entry_kind, from_bytes, to_bytes
from models.inference.predict import predict, prepare
from tests.elsewhere import export, labelled_examples, train
from tests.models.conftest import build_small
from tests.scenes import SIDE


def _file(
    file_format: str, size: tuple[int, int], mode: str = "RGB", orientation: int = 1
) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], len(mode)), dtype=np.uint8)
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(noise, mode).save(out, file_format, exif=exif)
    return out.getvalue()


FILES = {
    "large JPEG, decoded at a fraction": _file("JPEG", (1100, 900)),
    "rotated JPEG": _file("JPEG", (500, 380), orientation=6),
    "small JPEG": _file("JPEG", (90, 61)),
    "transparent PNG": _file("PNG", (301, 200), "RGBA"),
    "WebP": _file("WEBP", (120, 120)),
}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> ForeignDetector:
    path = tmp_path_factory.mktemp("onnx") / "squares.onnx"
    export(train(labelled_examples(range(2))), path)
    spec = ForeignSpec(Layout.YOLO, ("red",), (SIDE, SIDE))
    return ForeignDetector(spec, OnnxRuntimeNetwork(path))


def _assert_exact(detector: ScoringDetector, data: bytes) -> None:
    prepared = prepare(detector, data)
    entry = PixelEntry.of(decode_file(data, detector.decode_size).pixels, prepared)
    read = from_bytes(torch.frombuffer(bytearray(to_bytes(entry)), dtype=torch.uint8))

    assert read is not None
    found = read.prepared(detector)
    assert torch.equal(found.pixels, prepared.pixels)
    assert found.pixels.dtype == prepared.pixels.dtype
    assert found.pixels.stride() == prepared.pixels.stride()
    assert (found.original_size, found.placement) == (prepared.original_size, prepared.placement)
    (before,), (after,) = predict(detector, [prepared]), predict(detector, [found])
    assert after.log_odds == before.log_odds
    assert torch.equal(after.detections.boxes, before.detections.boxes)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("architecture", ["ssd_small", "fasterrcnn_mobilenet_v3_large_320_fpn"])
def test_scores_of_own_detectors_are_equal_to_the_bit(architecture: str, antialias: bool) -> None:
    detector = build_small(architecture).eval()
    detector.spec = replace(detector.spec, antialias=antialias)

    for data in FILES.values():
        _assert_exact(detector, data)


def test_scores_of_onnx_files_are_equal_to_the_bit(foreign: ForeignDetector) -> None:
    for (resize, antialias), data in product(product(Resize, [False, True]), FILES.values()):
        spec = replace(foreign.spec, resize=resize, antialias=antialias)
        _assert_exact(foreign.with_spec(spec), data)


def test_kinds_differ_where_pixels_would(foreign: ForeignDetector) -> None:
    own, other_names = build_small("ssd_small"), build_small("ssd_small", ("dog", "cow", "cat"))
    kinds = [entry_kind(own)]
    for spec in (
        replace(own.spec, antialias=False),
        replace(own.spec, input_size=(128, 160)),
    ):
        other_names.spec = spec
        kinds.append(entry_kind(other_names))
    kinds += [
        entry_kind(foreign.with_spec(spec))
        for spec in (
            foreign.spec,
            replace(foreign.spec, resize=Resize.STRETCH),
            replace(foreign.spec, pad_value=0),
            replace(foreign.spec, antialias=True),
        )
    ]

    assert len(set(kinds)) == 7
    other_names.spec = replace(own.spec, class_names=("dog", "cow", "cat"))
    assert entry_kind(other_names) == entry_kind(own)


def test_entry_with_any_changed_byte_is_refused() -> None:
    detector = build_small("ssd_small")
    data = FILES["small JPEG"]
    content = to_bytes(
        PixelEntry.of(decode_file(data, detector.decode_size).pixels, prepare(detector, data))
    )

    for position in [*range(0, len(content), 997), len(content) - 1]:
        damaged = bytearray(content)
        damaged[position] ^= 1
        assert from_bytes(torch.frombuffer(damaged, dtype=torch.uint8)) is None
    for length in (1, 3, 20, len(content) // 2):
        assert from_bytes(torch.frombuffer(bytearray(content[:length]), dtype=torch.uint8)) is None
