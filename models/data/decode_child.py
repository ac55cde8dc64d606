"""
The program of a decode process: one request after another on stdin, its answers on stdout.

A request is a line of JSON, then the file's bytes. An answer is one message or more; each is a line
of JSON, then `size` bytes where it has a size. The last one has the kind `done` or `error`. The
process ends when its stdin is closed, and the kernel ends it at its limits.
"""

import json
import resource
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO

from models.data import pixels
from models.data.pixels import OUT_OF_MEMORY, UnreadableImageError

STATM = Path("/proc/self/statm")


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this one
    _, most_cpu_s = resource.getrlimit(resource.RLIMIT_CPU)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while line := source.readline():
        request = json.loads(line)
        data = source.read(request["size"])
        _limit(request["memory_bytes"], request["cpu_s"], most_cpu_s)
        try:
            _answer(request, data, sink)
        except UnreadableImageError as error:
            _send(sink, {"kind": "error", "error": type(error).__name__, "reason": str(error)})
        except MemoryError:
            _send(sink, {"kind": "error", "error": "DecodeFailedError", "reason": OUT_OF_MEMORY})
        del data
        sink.flush()


def _limit(memory_bytes: int, cpu_s: float, most_cpu_s: int) -> None:
    """Limit this process to so much more memory and processor time than it has used so far."""
    used_s = int(time.process_time() + cpu_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used_s, most_cpu_s))
    if STATM.exists():  # the kernels without it do not enforce the limit either
        used_bytes = int(STATM.read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used_bytes + memory_bytes, hard))


def _answer(request: dict[str, object], data: bytes, sink: BinaryIO) -> None:
    match request:
        case {"task": "header"}:
            header = pixels.read_header(data)
            _send(
                sink, {"kind": "done", "header": [header.media_type, header.width, header.height]}
            )
        case {"task": "thumbnail", "max_side": int(max_side), "max_pixels": int(max_pixels)}:
            _send(sink, {"kind": "done"}, pixels.thumbnail(data, max_side, max_pixels))
        case {"task": "decode", "max_pixels": int(max_pixels), "enough": enough}:
            wanted = (enough[0], enough[1]) if isinstance(enough, list) else None
            decoded = pixels.read_strips(data, max_pixels, lambda height, width: wanted)
            shape = [decoded.height, decoded.width, decoded.orientation]
            _send(sink, {"kind": "shape", "shape": shape})
            for strip in decoded.strips:
                _send(sink, {"kind": "strip"}, strip.tobytes())
            _send(sink, {"kind": "done"})


def _send(sink: BinaryIO, message: dict[str, object], payload: bytes = b"") -> None:
    sink.write(json.dumps({**message, "size": len(payload)}).encode() + b"\n")
    sink.write(payload)


if __name__ == "__main__":
    main()
