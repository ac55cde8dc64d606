"""One decoder for each layout, from the outputs of a file to scored boxes, image by image."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.detectors.foreign.scored_boxes import ScoredBoxes, from_probabilities, highest, sigmoid
from models.detectors.foreign.spec import ForeignSpec, Layout
from models.detectors.foreign.split import split_distances, split_outputs

Array = NDArray[Any]
Decode = Callable[[Mapping[str, Array], ForeignSpec], list[ScoredBoxes]]


def decode(outputs: Mapping[str, Array], spec: ForeignSpec) -> list[ScoredBoxes]:
    """
    Return the scored boxes of each image of a batch.

    Raises LayoutMismatchError for outputs whose shapes do not fit the spec.
    """
    return _DECODERS[spec.layout](outputs, spec)


def _yolo(outputs: Mapping[str, Array], spec: ForeignSpec) -> list[ScoredBoxes]:
    """Decode [B, 4 + K, N]: cxcywh in pixels, then probabilities."""
    (batch,) = split_outputs(outputs, spec)
    return [from_probabilities(image[4:].T, partial(_cxcywh_rows, image[:4].T)) for image in batch]


def _yolo_objectness(outputs: Mapping[str, Array], spec: ForeignSpec) -> list[ScoredBoxes]:
    """Decode [B, N, 5 + K]: cxcywh in pixels, objectness, probabilities given an object."""
    (batch,) = split_outputs(outputs, spec)
    return [
        from_probabilities(_with_objectness(image), partial(_cxcywh_rows, image[:, :4]))
        for image in batch
    ]


def _yolox(outputs: Mapping[str, Array], spec: ForeignSpec) -> list[ScoredBoxes]:
    """Decode [B, N, 5 + K]: as `yolo-objectness`, with centres and log sizes in cells."""
    (batch,) = split_outputs(outputs, spec)
    points, strides = _grid(spec)
    return [
        from_probabilities(_with_objectness(image), partial(_grid_rows, image, points, strides))
        for image in batch
    ]


def _rows_with_labels(outputs: Mapping[str, Array], spec: ForeignSpec) -> list[ScoredBoxes]:
    """Decode boxes xyxy in pixels, scores and labels; rows of score 0 are padding."""
    boxes, scores, labels = split_outputs(outputs, spec)
    return [_labelled_rows(spec, *image) for image in zip(boxes, scores, labels, strict=True)]


def _top_k(outputs: Mapping[str, Array], spec: ForeignSpec) -> list[ScoredBoxes]:
    """Decode like `_rows_with_labels`; every image has a score here: nothing was dropped."""
    boxes, scores, labels = split_outputs(outputs, spec)
    return [
        _labelled_rows(spec, *image, is_complete=True)
        for image in zip(boxes, scores, labels, strict=True)
    ]


def _tf_detections(outputs: Mapping[str, Array], spec: ForeignSpec) -> list[ScoredBoxes]:
    """Decode boxes y1 x1 y2 x2 in [0, 1]; otherwise as `_top_k`."""
    boxes, scores, labels = split_outputs(outputs, spec)
    height, width = spec.input_size
    pixels = boxes[..., [1, 0, 3, 2]] * np.array([width, height, width, height], np.float32)
    return [
        _labelled_rows(spec, *image, is_complete=True)
        for image in zip(pixels, scores, labels, strict=True)
    ]


def _queries(outputs: Mapping[str, Array], spec: ForeignSpec) -> list[ScoredBoxes]:
    """Decode logits [B, Q, K] under sigmoids, and boxes cxcywh in [0, 1]."""
    logits, boxes = split_outputs(outputs, spec)
    found = []
    for image_logits, image_boxes in zip(logits, boxes, strict=True):
        foreground = _foreground(image_logits, spec)
        rows = partial(_unit_cxcywh_rows, image_boxes, spec)
        found.append(
            ScoredBoxes(highest(foreground.astype(np.float64)), sigmoid(foreground), rows, True)
        )
    return found


def _queries_softmax(outputs: Mapping[str, Array], spec: ForeignSpec) -> list[ScoredBoxes]:
    """Decode logits [B, Q, K + 1] under a softmax, and boxes cxcywh in [0, 1]."""
    logits, boxes = split_outputs(outputs, spec)
    found = []
    for image_logits, image_boxes in zip(logits.astype(np.float64), boxes, strict=True):
        foreground = _foreground(image_logits, spec)
        rows = partial(_unit_cxcywh_rows, image_boxes, spec)
        scores = np.exp(foreground - _logsumexp(image_logits)[:, None])
        found.append(ScoredBoxes(_softmax_log_odds(image_logits, spec), scores, rows, True))
    return found


def _anchors_softmax(outputs: Mapping[str, Array], spec: ForeignSpec) -> list[ScoredBoxes]:
    """Decode probabilities [B, N, 1 + K], background among them, and boxes xyxy in [0, 1]."""
    probabilities, boxes = split_outputs(outputs, spec)
    return [
        from_probabilities(_foreground(image, spec), partial(_unit_xyxy_rows, image_boxes, spec))
        for image, image_boxes in zip(probabilities, boxes, strict=True)
    ]


def _nanodet(outputs: Mapping[str, Array], spec: ForeignSpec) -> list[ScoredBoxes]:
    """Decode probabilities [B, N, K] and distributions [B, N, 4 (R + 1)] of four distances."""
    scores, distances = split_distances(outputs, spec)
    points, strides = _grid(spec)
    points = points + spec.cell_offset
    return [
        from_probabilities(image, partial(_distance_rows, image_distances, points, strides))
        for image, image_distances in zip(scores, distances, strict=True)
    ]


_DECODERS: dict[Layout, Decode] = {
    Layout.YOLO: _yolo,
    Layout.YOLO_OBJECTNESS: _yolo_objectness,
    Layout.YOLOX: _yolox,
    Layout.TOP_K: _top_k,
    Layout.SUPPRESSED: _rows_with_labels,
    Layout.QUERIES: _queries,
    Layout.QUERIES_SOFTMAX: _queries_softmax,
    Layout.TOP_QUERIES: _top_k,
    Layout.NANODET: _nanodet,
    Layout.ANCHORS_SOFTMAX: _anchors_softmax,
    Layout.DETECTIONS: _rows_with_labels,
    Layout.TF_DETECTIONS: _tf_detections,
}


def _labelled_rows(
    spec: ForeignSpec, boxes: Array, scores: Array, labels: Array, *, is_complete: bool = False
) -> ScoredBoxes:
    """Spread scores over the columns of their classes; labels out of range are no class here."""
    columns = np.rint(labels).astype(np.int64) - spec.first_label
    kept = (columns >= 0) & (columns < len(spec.class_names))
    if not is_complete:
        kept &= ~(scores <= 0)  # a NaN stays, and fails the image
    boxes, scores, columns = boxes[kept], scores[kept], columns[kept]
    spread = np.zeros((len(scores), len(spec.class_names)), dtype=np.float32)
    spread[np.arange(len(scores)), columns] = scores
    labelled = from_probabilities(spread, boxes.__getitem__, is_suppressed=True)
    if len(scores):
        return labelled
    return ScoredBoxes(None, spread, boxes.__getitem__, True)


def _with_objectness(image: Array) -> Array:
    return image[:, 4:5].astype(np.float64) * image[:, 5:]


def _foreground(columns: Array, spec: ForeignSpec) -> Array:
    """Return the columns of object classes."""
    if spec.background_column is None:
        return columns
    return np.delete(columns, spec.background_column, axis=1)


def _softmax_log_odds(logits: Array, spec: ForeignSpec) -> float | None:
    """Return the highest log-odds of any class: its logit less the logsumexp of all others."""
    if not logits.size:
        return None
    if np.isnan(logits).any():
        return float("nan")
    columns = np.arange(logits.shape[1])
    if spec.background_column is not None:
        columns = np.delete(columns, spec.background_column)
    rows = np.arange(len(logits))
    best = columns[logits[:, columns].argmax(axis=1)]
    others = logits.copy()
    others[rows, best] = -np.inf
    return float((logits[rows, best] - _logsumexp(others)).max())


def _logsumexp(values: Array) -> Array:
    top = values.max(axis=1, keepdims=True)
    result: Array = np.log(np.exp(values - top).sum(axis=1)) + top[:, 0]
    return result


def _grid(spec: ForeignSpec) -> tuple[Array, Array]:
    """Return the cells (x, y) [N, 2] of all levels, row by row, and the stride of each [N, 1]."""
    height, width = spec.input_size
    points: list[Array] = []
    strides: list[Array] = []
    for stride in spec.strides:
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = np.mgrid[:rows, :columns]
        points.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((rows * columns, 1), stride))
    return np.concatenate(points).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _cxcywh_rows(boxes: Array, rows: Array) -> Array:
    return _corners(boxes[rows, :2], boxes[rows, 2:4])


def _grid_rows(image: Array, points: Array, strides: Array, rows: Array) -> Array:
    centers = (image[rows, :2] + points[rows]) * strides[rows]
    return _corners(centers, np.exp(image[rows, 2:4]) * strides[rows])


def _unit_cxcywh_rows(boxes: Array, spec: ForeignSpec, rows: Array) -> Array:
    scale = np.array(spec.input_size[::-1], dtype=np.float32)
    return _corners(boxes[rows, :2] * scale, boxes[rows, 2:4] * scale)


def _unit_xyxy_rows(boxes: Array, spec: ForeignSpec, rows: Array) -> Array:
    height, width = spec.input_size
    result: Array = boxes[rows] * np.array([width, height, width, height], dtype=np.float32)
    return result


def _distance_rows(distances: Array, points: Array, strides: Array, rows: Array) -> Array:
    """Return boxes at the expected distances, in cells, from their points to each side."""
    bins = distances[rows].reshape(len(rows), 4, -1).astype(np.float64)
    weights = np.exp(bins - bins.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    expected = (weights * np.arange(bins.shape[2])).sum(axis=2) * strides[rows]
    centers = points[rows] * strides[rows]
    return np.concatenate([centers - expected[:, :2], centers + expected[:, 2:]], axis=1)


def _corners(centers: Array, sizes: Array) -> Array:
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
