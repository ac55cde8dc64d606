"""The roles of a file's outputs, by their shapes, and by name only where shapes are equal."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.detectors.foreign.errors import LayoutMismatchError
from models.detectors.foreign.spec import ForeignSpec, Layout

Array = NDArray[Any]
Outputs = Mapping[str, Array]

TF_NAMES = ("detection_boxes", "detection_scores", "detection_classes")


def split_outputs(outputs: Outputs, spec: ForeignSpec) -> tuple[Array, ...]:
    """
    Return the arrays that a layout's decoder takes, each with the batch as its first axis.

    Raises LayoutMismatchError.
    """
    return _SPLITTERS[spec.layout](outputs, spec)


def split_distances(outputs: Outputs, spec: ForeignSpec) -> tuple[Array, Array]:
    """Return class probabilities [B, N, K] and distances [B, N, 4 (R + 1)], levels joined."""
    num_classes = len(spec.class_names)
    cells = [_num_cells(spec, stride) for stride in spec.strides]
    joined = [a for a in outputs.values() if a.ndim == 3 and a.shape[1] == sum(cells)]
    if len(outputs) == 1 and joined:
        (array,) = joined
        _require((array.shape[2] - num_classes) % 4 == 0, spec, outputs)
        return array[..., :num_classes], array[..., num_classes:]
    scores, distances = [], []
    for count in [sum(cells)] if joined else cells:
        level = {
            name: rows
            for name, array in outputs.items()
            if (rows := _rows(array, count)) is not None
        }
        score = _find(level, spec, lambda rows: rows.shape[2] == num_classes, ("cls", "score"))
        rest = [rows for rows in level.values() if rows is not score and rows.shape[2] % 4 == 0]
        _require(len(rest) == 1, spec, outputs)
        scores.append(score)
        distances.append(rest[0])
    return np.concatenate(scores, axis=1), np.concatenate(distances, axis=1)


def _one(outputs: Outputs, spec: ForeignSpec, columns: int, axis: int) -> tuple[Array, ...]:
    """Return the one array of rank 3 that has so many columns, with them at `axis`."""
    for array in outputs.values():
        if array.ndim == 3 and array.shape[axis] == columns:
            return (array,)
        if array.ndim == 3 and array.shape[3 - axis] == columns:
            return (array.transpose(0, 2, 1),)
    raise _mismatch(spec, outputs)


def _yolo(outputs: Outputs, spec: ForeignSpec) -> tuple[Array, ...]:
    return _one(outputs, spec, 4 + len(spec.class_names), axis=1)


def _with_objectness(outputs: Outputs, spec: ForeignSpec) -> tuple[Array, ...]:
    return _one(outputs, spec, 5 + len(spec.class_names), axis=2)


def _yolox(outputs: Outputs, spec: ForeignSpec) -> tuple[Array, ...]:
    (array,) = _with_objectness(outputs, spec)
    _require(array.shape[1] == sum(_num_cells(spec, s) for s in spec.strides), spec, outputs)
    return (array,)


def _scores_and_boxes(outputs: Outputs, spec: ForeignSpec) -> tuple[Array, ...]:
    arrays = {name: array for name, array in outputs.items() if array.ndim == 3}
    boxes = _find(arrays, spec, lambda array: array.shape[2] == 4, ("box", "dets"))
    rest = {name: array for name, array in arrays.items() if array is not boxes}
    scores = _find(
        rest,
        spec,
        lambda a: a.shape[2] == spec.num_columns and a.shape[:2] == boxes.shape[:2],
        ("logit", "score", "label", "conf"),
    )
    return scores, boxes


def _labelled(outputs: Outputs, spec: ForeignSpec) -> tuple[Array, ...]:
    """Return boxes [B, N, 4], scores [B, N] and labels [B, N] of any of the usual forms."""
    arrays = list(outputs.values())
    if len(arrays) == 1 and arrays[0].ndim == 3 and arrays[0].shape[2] == 6:
        rows = arrays[0]  # x1 y1 x2 y2 score label
        return rows[..., :4], rows[..., 4], rows[..., 5]
    if len(arrays) == 1 and arrays[0].ndim == 2 and arrays[0].shape[1] == 7:
        rows = arrays[0][None]  # image x1 y1 x2 y2 label score, of one image
        return rows[..., 1:5], rows[..., 6], rows[..., 5]
    flat = [array for array in arrays if array.ndim == 2 and array.shape[1] == 6]
    if flat and all(array is flat[0] or array.size == 1 for array in arrays):
        rows = flat[0][None]  # label score x1 y1 x2 y2, and how many, of one image
        return rows[..., 2:6], rows[..., 1], rows[..., 0]
    return _separate(outputs, spec)


def _separate(outputs: Outputs, spec: ForeignSpec) -> tuple[Array, ...]:
    """Return boxes, scores and labels that are outputs of their own."""
    with_batch = {name: array for name, array in outputs.items() if array.ndim >= 2}
    with_scores = [a for a in with_batch.values() if a.ndim == 3 and a.shape[2] == 5]
    if with_scores:
        boxes, scores = with_scores[0][..., :4], with_scores[0][..., 4]
    else:
        boxes = _find(with_batch, spec, lambda a: a.ndim == 3 and a.shape[2] == 4, ("box",))
        scores = _find(
            {name: a for name, a in with_batch.items() if a.shape == boxes.shape[:2]},
            spec,
            lambda array: array.dtype.kind == "f",
            ("score", "conf"),
        )
    labels = [
        array
        for name, array in with_batch.items()
        if array.shape == boxes.shape[:2] and array is not scores
    ]
    _require(len(labels) == 1, spec, outputs)
    return boxes, scores, labels[0]


def _unbatched(outputs: Outputs, spec: ForeignSpec) -> tuple[Array, ...]:
    """Add the batch axis that torchvision's detectors leave out."""
    return _separate({name: array[None] for name, array in outputs.items()}, spec)


def _tf(outputs: Outputs, spec: ForeignSpec) -> tuple[Array, ...]:
    by_name = {name.partition(":")[0].lower(): array for name, array in outputs.items()}
    _require(all(name in by_name for name in TF_NAMES), spec, outputs)
    return tuple(by_name[name] for name in TF_NAMES)


_SPLITTERS: dict[Layout, Callable[[Outputs, ForeignSpec], tuple[Array, ...]]] = {
    Layout.YOLO: _yolo,
    Layout.YOLO_OBJECTNESS: _with_objectness,
    Layout.YOLOX: _yolox,
    Layout.TOP_K: _labelled,
    Layout.SUPPRESSED: _labelled,
    Layout.TOP_QUERIES: _separate,
    Layout.QUERIES: _scores_and_boxes,
    Layout.QUERIES_SOFTMAX: _scores_and_boxes,
    Layout.ANCHORS_SOFTMAX: _scores_and_boxes,
    Layout.DETECTIONS: _unbatched,
    Layout.TF_DETECTIONS: _tf,
}


def _find(
    arrays: Outputs, spec: ForeignSpec, fits: Callable[[Array], bool], words: tuple[str, ...]
) -> Array:
    """Return the array that fits; of several, the one whose name has one of the words."""
    found = {name: array for name, array in arrays.items() if fits(array)}
    if len(found) > 1:
        named = {
            name: array
            for name, array in found.items()
            if any(word in name.lower() for word in words)
        }
        found = named or found
    _require(len(found) == 1, spec, arrays)
    return next(iter(found.values()))


def _rows(array: Array, count: int) -> Array | None:
    """Return an array as [B, count, C], whatever the order of its axes; None if it has no such."""
    if array.ndim == 3 and array.shape[1] == count:
        return array
    sides = [side for side in array.shape if side != 1]
    if len(sides) == 1 and sides[0] == count:
        return array.reshape(1, count, 1)
    if len(sides) != 2 or count not in sides:
        return None
    matrix = array.reshape(sides)
    return (matrix if sides[0] == count else matrix.T)[None]


def _num_cells(spec: ForeignSpec, stride: int) -> int:
    height, width = spec.input_size
    return -(-height // stride) * -(-width // stride)


def _require(condition: bool, spec: ForeignSpec, outputs: Outputs) -> None:
    if not condition:
        raise _mismatch(spec, outputs)


def _mismatch(spec: ForeignSpec, outputs: Outputs) -> LayoutMismatchError:
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
    return LayoutMismatchError(
        f"the outputs do not fit the layout '{spec.layout}' with {len(spec.class_names)} classes: "
        f"the file gives {shapes}"
    )
