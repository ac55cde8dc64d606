"""The parts of an ONNX file beside its network: metadata, and names of other files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path

from models.detectors.foreign.errors import ForeignDetectorError
from models.detectors.foreign.protobuf import BYTES, Field, fields, length_delimited

# Field numbers of onnx.proto3
_GRAPH, _METADATA_PROPS, _FUNCTIONS = 7, 14, 25  # of ModelProto
_KEY, _VALUE = 1, 2  # of StringStringEntryProto
_EXTERNAL_DATA = 13  # of TensorProto
# For each kind of message, the fields that hold messages with tensors somewhere inside
_INSIDE: dict[str, dict[int, str]] = {
    "model": {_GRAPH: "graph", _FUNCTIONS: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
MAX_ENTRY_BYTES = 16 * 1024**2  # far above the class names and arguments of any exporter
MAX_DEPTH = 40  # of graphs within graphs
COPY_BYTES = 8 * 1024**2


def read_metadata(path: Path) -> dict[str, str]:
    """
    Return the file's metadata entries; of two with one key, the last holds.

    Raises ForeignDetectorError if the file is no whole ONNX model, OSError if it can't be read.
    """
    with _open(path) as data:
        return {key: value for _, key, value in _entries(data)}


def write_with_entry(source: Path, target: Path, key: str, value: str) -> None:
    """
    Copy an ONNX file and set one metadata entry.

    Protobuf merges concatenated messages, so the entry is appended. An earlier entry with the same
    key is left out: equal inputs give equal bytes. Raises as `read_metadata` does.
    """
    with _open(source) as data, target.open("wb") as file:
        kept_from = 0
        for field, name, _ in list(_entries(data)):
            if name == key:
                _copy(data, file.write, kept_from, field.start)
                kept_from = field.end
        _copy(data, file.write, kept_from, len(data))
        entry = length_delimited(_KEY, key.encode()) + length_delimited(_VALUE, value.encode())
        file.write(length_delimited(_METADATA_PROPS, entry))


def require_self_contained(path: Path) -> None:
    """Raise ForeignDetectorError for a model that keeps weights in other files."""
    with _open(path) as data:
        _require_no_external_data(data, 0, len(data), "model", MAX_DEPTH)


def _require_no_external_data(
    data: bytes | mmap, start: int, end: int, kind: str, depth: int
) -> None:
    if depth == 0:
        raise ForeignDetectorError("the ONNX file nests graphs too deeply")
    for field in fields(data, start, end):
        if kind == "tensor":
            if field.number == _EXTERNAL_DATA:
                raise ForeignDetectorError(
                    "the ONNX file keeps weights in other files: save it as one file, for "
                    "instance with onnx.save(onnx.load(path), path)"
                )
        elif field.wire_type == BYTES and (inside := _INSIDE[kind].get(field.number)):
            _require_no_external_data(data, field.content, field.end, inside, depth - 1)


@contextmanager
def _open(path: Path) -> Iterator[bytes | mmap]:
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise ForeignDetectorError("the file is empty")
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            yield data


def _entries(data: bytes | mmap) -> Iterator[tuple[Field, str, str]]:
    has_graph = False
    for field in fields(data, 0, len(data)):
        has_graph |= field.number == _GRAPH and field.wire_type == BYTES
        if field.number != _METADATA_PROPS or field.wire_type != BYTES:
            continue
        if field.end - field.content > MAX_ENTRY_BYTES:
            raise ForeignDetectorError("a metadata entry of the ONNX file is too long")
        texts = {_KEY: "", _VALUE: ""}
        for part in fields(data, field.content, field.end):
            if part.wire_type == BYTES:
                texts[part.number] = data[part.content : part.end].decode("utf-8", "replace")
        yield field, texts[_KEY], texts[_VALUE]
    if not has_graph:
        raise ForeignDetectorError("the file is not an ONNX model: it holds no graph")


def _copy(data: bytes | mmap, write: Callable[[bytes], int], start: int, end: int) -> None:
    for position in range(start, end, COPY_BYTES):
        write(data[position : min(end, position + COPY_BYTES)])
