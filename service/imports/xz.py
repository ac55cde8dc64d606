"""Reads xz with a bound on memory, which Python's own `lzma.open` cannot be given."""

import io
import lzma
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# `xz -9`, the largest preset, needs 65 MiB; a file may ask for 4 GiB.
MAX_MEMORY_BYTES = 80 * 1024**2
PIECE_BYTES = 64 * 1024


class XzFile(io.RawIOBase):
    """
    The plain bytes of one or more xz streams; what follows them and is no stream is left out.

    Reading raises LZMAError if they are damaged or need more memory, EOFError if they break off.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place by reading up to it, if need be from the start."""
        target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END or target < 0:
            raise io.UnsupportedOperation("an xz file is read from its start")
        if target < self._position:
            self._start()
        while self._position < target and self.read(min(PIECE_BYTES, target - self._position)):
            pass
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        plain = self._next(len(view)) if len(view) else b""
        view[: len(plain)] = plain
        self._position += len(plain)
        return len(plain)

    def _start(self) -> None:
        self._file.seek(0)
        self._position = 0
        self._stream = _new_stream()

    def _next(self, size: int) -> bytes:
        """Return up to `size` bytes, at least one unless the streams have ended."""
        while True:
            if self._stream.eof:
                packed = self._stream.unused_data or self._file.read(PIECE_BYTES)
                packed = packed.lstrip(b"\0")  # padding between streams
                if not packed:
                    return b""
                self._stream = _new_stream()
                try:
                    plain = self._stream.decompress(packed, size)
                except lzma.LZMAError:
                    return b""
            else:
                packed = self._file.read(PIECE_BYTES) if self._stream.needs_input else b""
                if not packed and self._stream.needs_input:
                    raise EOFError("the compressed file breaks off")
                plain = self._stream.decompress(packed, size)
            if plain:
                return plain


def _new_stream() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_MEMORY_BYTES)
