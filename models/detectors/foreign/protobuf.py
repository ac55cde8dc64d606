"""The part of protobuf's wire format that walking and appending to an ONNX file needs."""

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

from models.detectors.foreign.errors import ForeignDetectorError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10


class Field(NamedTuple):
    """One field of a message, by offsets: its tag's, its content's, and the one behind it."""

    number: int
    wire_type: int
    start: int
    content: int
    end: int


def fields(data: bytes | mmap, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message between two offsets. Raises ForeignDetectorError."""
    position = start
    while position < end:
        tag, content = read_varint(data, position, end)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == BYTES:
            length, content = read_varint(data, content, end)
            field_end = content + length
        elif wire_type == VARINT:
            _, field_end = read_varint(data, content, end)
        elif wire_type in (FIXED64, FIXED32):
            field_end = content + (8 if wire_type == FIXED64 else 4)
        else:
            raise ForeignDetectorError("the file is not an ONNX model, or it is damaged")
        if number == 0 or field_end > end:
            raise ForeignDetectorError("the file is not an ONNX model, or it ends too early")
        yield Field(number, wire_type, position, content, field_end)
        position = field_end


def read_varint(data: bytes | mmap, position: int, end: int) -> tuple[int, int]:
    """Return the number at an offset, and the offset behind it. Raises ForeignDetectorError."""
    value = 0
    for index in range(min(MAX_VARINT_BYTES, end - position)):
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise ForeignDetectorError("the file is not an ONNX model, or it ends too early")


def length_delimited(number: int, content: bytes) -> bytes:
    """Return a field that holds a text or a message."""
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
