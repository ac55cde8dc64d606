"""The spec of an ONNX file, from the file itself and from its user."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.detectors.foreign.detector import input_ports
from models.detectors.foreign.errors import (
    ForeignDetectorError,
    LayoutUnknownError,
    ThresholdedExportError,
)
from models.detectors.foreign.model_file import read_metadata, require_self_contained
from models.detectors.foreign.presets import PRESETS, Preset
from models.detectors.foreign.runtime import Network, Port, open_network
from models.detectors.foreign.spec import ChannelOrder, ForeignSpec, Layout, Resize
from models.detectors.foreign.spec_text import SPEC_KEY, parse_spec

Array = NDArray[Any]

MAX_LITERAL_LETTERS = 1_000_000
MOST_QUERIES = 1000  # DETRs have 100 to 900, anchors are thousands
DEFAULT_BACKGROUND = {Layout.ANCHORS_SOFTMAX: 0, Layout.QUERIES_SOFTMAX: -1}


@dataclass(frozen=True, slots=True)
class SpecOverrides:
    """Values of a spec that a user gives; None leaves one to preset, file or default."""

    preset: str | None = None
    layout: Layout | None = None
    class_names: tuple[str, ...] | None = None
    input_size: tuple[int, int] | None = None
    resize: Resize | None = None
    pad_value: int | None = None
    channel_order: ChannelOrder | None = None
    image_mean: tuple[float, float, float] | None = None
    image_std: tuple[float, float, float] | None = None
    antialias: bool | None = None
    background_column: int | None = None
    first_label: int | None = None
    strides: tuple[int, ...] | None = None
    cell_offset: float | None = None
    score_threshold: float | None = None
    nms_threshold: float | None = None
    detections_per_image: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "SpecOverrides":
        """Rebuild the overrides from their JSON form. Raises ValueError for an unknown word."""
        kinds = {"layout": Layout, "resize": Resize, "channel_order": ChannelOrder}
        given: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, list):
                given[name] = tuple(value)
            else:
                given[name] = kinds[name](value) if name in kinds and value is not None else value
        return cls(**given)

    def values(self) -> dict[str, object]:
        """Return the given values by the spec's field."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        named.pop("preset")
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Inspection:
    """
    The spec and the properties of one ONNX file.

    Attributes:
        spec: what scoring needs.
        inputs, outputs: ports of the file; sides that vary are None.
        output_shapes: of one image, by the output's name.
        runtime: that computes it, with its release.
        metadata: entries of the file, without our own.
    """

    spec: ForeignSpec
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    output_shapes: dict[str, tuple[int, ...]]
    runtime: str
    metadata: dict[str, str]


def inspect_onnx(path: Path, overrides: SpecOverrides | None = None) -> Inspection:
    """
    Work out how to score with an ONNX file.

    A file that carries our spec needs no overrides; those given replace a part of it.

    Raises:
        ForeignDetectorError: The file is not an ONNX model, the runtime refuses it, or a value is
            missing that the file does not give; the message names it.
        LayoutUnknownError, LayoutMismatchError, ThresholdedExportError.
    """
    overrides = overrides or SpecOverrides()
    require_self_contained(path)
    metadata = read_metadata(path)
    network = open_network(path)
    values = _known_values(metadata, overrides)
    input_size = values.get("input_size") or _fixed_size(network)
    if input_size is None:
        raise ForeignDetectorError(
            "the file takes images of any size: say the one it was trained at with --input-size"
        )
    values["input_size"] = input_size
    outputs = _run_once(network, _sides(input_size))
    preset = _preset(overrides, metadata)
    values["layout"] = values.get("layout") or _layout(outputs, network, preset, values, metadata)
    if "class_names" not in values:
        raise ForeignDetectorError(_ask_for_names(outputs, Layout(str(values["layout"]))))
    spec = _spec(values)
    metadata.pop(SPEC_KEY, None)
    return Inspection(
        spec=spec,
        inputs=network.inputs,
        outputs=network.outputs,
        output_shapes={name: array.shape for name, array in outputs.items()},
        runtime=network.runtime,
        metadata=metadata,
    )


def _known_values(metadata: Mapping[str, str], overrides: SpecOverrides) -> dict[str, Any]:
    """Merge the known fields of the spec: the file's over the preset's, the user's over both."""
    values: dict[str, Any] = {}
    preset = _preset(overrides, metadata)
    if preset is not None:
        values |= preset.values
    if SPEC_KEY in metadata:
        values |= asdict(parse_spec(metadata[SPEC_KEY]))
    else:
        values |= _ultralytics_values(metadata)
    return values | overrides.values()


def _preset(overrides: SpecOverrides, metadata: Mapping[str, str]) -> Preset | None:
    if overrides.preset is None:
        return PRESETS["ultralytics"] if is_ultralytics(metadata) else None
    if overrides.preset not in PRESETS:
        raise ForeignDetectorError(
            f"unknown preset '{overrides.preset}'; known are {', '.join(PRESETS)}"
        )
    return PRESETS[overrides.preset]


def is_ultralytics(metadata: Mapping[str, str]) -> bool:
    return {"names", "imgsz", "task"} <= metadata.keys()


def _ultralytics_values(metadata: Mapping[str, str]) -> dict[str, object]:
    """Read the values that the exporter of ultralytics writes into its files."""
    if not is_ultralytics(metadata):
        return {}
    if metadata["task"] != "detect":
        raise ForeignDetectorError(
            f"the file's task is '{metadata['task']}': only detectors of boxes can be mined with"
        )
    names, size = _literal(metadata["names"]), _literal(metadata["imgsz"])
    values: dict[str, object] = {}
    if isinstance(names, dict):
        values["class_names"] = tuple(str(names[key]) for key in sorted(names))
    elif isinstance(names, list):
        values["class_names"] = tuple(str(name) for name in names)
    if isinstance(size, list) and len(size) == 2 and all(isinstance(x, int) for x in size):
        values["input_size"] = (size[0], size[1])
    return values


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text) if len(text) <= MAX_LITERAL_LETTERS else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def _fixed_size(network: Network) -> tuple[int, int] | None:
    port, _ = input_ports(network)
    assert port.shape is not None
    sides = port.shape[-3:]
    height, width = sides[:2] if sides[2] == 3 and sides[0] != 3 else sides[1:]
    return (height, width) if height is not None and width is not None else None


def _sides(size: object) -> tuple[int, int]:
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ForeignDetectorError(f"input_size must be two numbers of pixels, not {size}")
    return int(size[0]), int(size[1])


def _run_once(network: Network, size: tuple[int, int]) -> dict[str, Array]:
    """Return the outputs for one grey image."""
    port, size_port = input_ports(network)
    assert port.shape is not None
    is_last = port.shape[-1] == 3 and port.shape[-3] != 3
    sides = (*size, 3) if is_last else (3, *size)
    shape = sides if len(port.shape) == 3 else (port.shape[0] or 1, *sides)
    grey = 128 if port.dtype == "uint8" else 0.5
    feeds: dict[str, Array] = {port.name: np.full(shape, grey, dtype=port.dtype)}
    if size_port is not None:
        feeds[size_port.name] = np.array([size[::-1]], dtype=size_port.dtype)
    try:
        results = network.run(feeds)
    except Exception as error:  # the runtimes' own classes share no parent but Exception
        raise ForeignDetectorError(f"the network fails on a grey image: {error}") from error
    names = [port.name or str(index) for index, port in enumerate(network.outputs)]
    return dict(zip(names, results, strict=True))


def _layout(
    outputs: Mapping[str, Array],
    network: Network,
    preset: Preset | None,
    values: Mapping[str, object],
    metadata: Mapping[str, str],
) -> Layout:
    names = values.get("class_names")
    num_classes = len(names) if isinstance(names, Sequence) else None
    found = possible_layouts(outputs, num_classes, takes_sizes=len(network.inputs) > 1)
    if Layout.TOP_K in found and is_ultralytics(metadata):
        if _is_thresholded(metadata):
            raise ThresholdedExportError(
                "the file drops boxes below a score threshold, so most negatives would get no "
                "score: export it again without nms=True, or say layout=suppressed to take it "
                "as it is"
            )
        return Layout.TOP_K
    preferred = [layout for layout in preset.layouts if layout in found] if preset else found
    if preferred and (preset is not None or len(preferred) == 1):
        return preferred[0]
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
    fitting = f"these layouts would fit: {', '.join(found)}" if found else "no layout fits"
    raise LayoutUnknownError(
        f"the file gives {shapes}; {fitting}. Say which with --layout, or name the exporter with "
        f"--preset ({', '.join(PRESETS)})"
    )


def _is_thresholded(metadata: Mapping[str, str]) -> bool:
    """Return whether ultralytics put suppression, with its threshold, behind the network."""
    arguments = _literal(metadata.get("args", ""))
    has_nms = isinstance(arguments, dict) and bool(arguments.get("nms"))
    return has_nms and metadata.get("end2end", "False").lower() != "true"


def possible_layouts(
    outputs: Mapping[str, Array], num_classes: int | None, *, takes_sizes: bool
) -> list[Layout]:
    """Return the layouts that outputs of these shapes may have."""
    arrays = list(outputs.values())
    names = {name.partition(":")[0].lower() for name in outputs}
    if {"detection_boxes", "detection_scores", "detection_classes"} <= names:
        return [Layout.TF_DETECTIONS]
    ranks = sorted(array.ndim for array in arrays)
    if len(arrays) == 1 and ranks == [3]:
        return _of_one_array(arrays[0], num_classes)
    if ranks == [3, 3]:
        return _of_two_arrays(arrays, num_classes)
    if ranks == [1, 1, 2]:
        return [Layout.DETECTIONS]
    if ranks == [2, 2, 3]:
        return [Layout.TOP_QUERIES] if takes_sizes else [Layout.TOP_K, Layout.SUPPRESSED]
    if ranks in ([2], [2, 3], [1, 2], [2, 2, 2, 3]):
        return [Layout.SUPPRESSED]
    if len(arrays) >= 4 and len(arrays) % 2 == 0:
        return [Layout.NANODET]
    return []


def _of_one_array(array: Array, num_classes: int | None) -> list[Layout]:
    _, rows, columns = array.shape
    if num_classes is not None:
        found = []
        if columns == 6 and rows <= MOST_QUERIES:
            found += [Layout.TOP_K, Layout.SUPPRESSED]
        if 4 + num_classes in (rows, columns):
            found.append(Layout.YOLO)
        if 5 + num_classes in (rows, columns):
            found += [Layout.YOLO_OBJECTNESS, Layout.YOLOX]
        if columns > num_classes + 5 and (columns - num_classes) % 4 == 0:
            found.append(Layout.NANODET)
        return found
    if columns == 6 and rows <= MOST_QUERIES:
        return [Layout.TOP_K, Layout.SUPPRESSED]
    if rows < columns:
        return [Layout.YOLO]
    return [Layout.YOLO_OBJECTNESS, Layout.YOLOX, Layout.NANODET]


def _of_two_arrays(arrays: Sequence[Array], num_classes: int | None) -> list[Layout]:
    if arrays[0].shape[1] != arrays[1].shape[1]:
        return []
    num_rows = arrays[0].shape[1]
    columns = {array.shape[2] for array in arrays}
    if 4 not in columns:
        return [Layout.NANODET] if num_rows > MOST_QUERIES else []
    if num_rows > MOST_QUERIES:
        return [Layout.ANCHORS_SOFTMAX]
    if num_classes is None:
        return [Layout.QUERIES, Layout.QUERIES_SOFTMAX]
    others = columns - {4} or {4}
    if num_classes + 1 in others:
        return [Layout.QUERIES_SOFTMAX]
    return [Layout.QUERIES] if num_classes in others else []


def _ask_for_names(outputs: Mapping[str, Array], layout: Layout) -> str:
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
    return (
        "the file does not name its classes: give them in label order with --class-names FILE, "
        f"one a line (layout '{layout}', outputs {shapes})"
    )


def _spec(values: dict[str, Any]) -> ForeignSpec:
    layout = Layout(str(values["layout"]))
    names = tuple(values["class_names"])
    if values.get("background_column") is None and layout in DEFAULT_BACKGROUND:
        values["background_column"] = DEFAULT_BACKGROUND[layout] % (len(names) + 1)
    values |= {"layout": layout, "class_names": names, "input_size": _sides(values["input_size"])}
    try:
        return ForeignSpec(**values)
    except (TypeError, ValueError) as error:
        raise ForeignDetectorError(f"the file's spec cannot be: {error}") from error
