"""Processes that decode images apart from this one, within limits of time and memory."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from mmap import mmap
from pathlib import Path
from threading import Condition, Timer
from typing import Any

import numpy as np

from models.data import pixels
from models.data.pixels import (
    DecodeFailedError,
    ImageHeader,
    ImageTooLargeError,
    Pixels,
    UnreadableImageError,
    UnsupportedImageError,
    as_stored,
)

# A thread that waits for a processor must not count as a hostile image.
WALL_TIME_FACTOR = 3
MAX_IDLE = 2
MAPPED_BYTES = 32 * 1024**2
PIPE_BYTES = 1024**2  # the most that Linux gives to any user; a small pipe is a switch every 64 KiB

_PACKAGES = str(Path(pixels.__file__).parents[2])
_ERRORS = {
    error.__name__: error
    for error in (
        UnreadableImageError,
        UnsupportedImageError,
        ImageTooLargeError,
        DecodeFailedError,
    )
}

Message = tuple[dict[str, Any], bytes]


class DecodersClosed(RuntimeError):
    """The error of a decode that was cut short because its process pool was closed."""


class DecodeProcesses:
    """
    Processes that decode one image each at a time; they are started when they are needed.

    A process that reaches a limit is killed, and the next image gets a new one.
    """

    def __init__(self, max_processes: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._num_free = max_processes
        self._changed = Condition()
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._is_retired = False
        self._is_closed = False

    def header(self, data: bytes, *, memory_bytes: int) -> ImageHeader:
        """Read type and size. Raises UnreadableImageError."""
        with self._messages({"task": "header"}, data, memory_bytes) as messages:
            message, _ = next(messages)
        return ImageHeader(*message["header"])

    def decode(
        self, data: bytes, max_pixels: int, enough: tuple[int, int] | None, *, memory_bytes: int
    ) -> Pixels:
        """Decode to upright pixels, in memory that the system gets back at once."""
        request = {"task": "decode", "max_pixels": max_pixels, "enough": enough}
        with self._messages(request, data, memory_bytes) as messages:
            height, width, orientation = next(messages)[0]["shape"]
            shape = (width, height) if orientation >= 5 else (height, width)
            out = _empty(*shape)
            stored, top = as_stored(out, orientation), 0
            for message, payload in messages:
                if message["kind"] == "strip":
                    strip = np.frombuffer(payload, np.uint8).reshape(-1, width, 3)
                    stored[top : top + len(strip)] = strip
                    top += len(strip)
        return out

    def thumbnail(self, data: bytes, max_side: int, max_pixels: int, *, memory_bytes: int) -> bytes:
        request = {"task": "thumbnail", "max_side": max_side, "max_pixels": max_pixels}
        with self._messages(request, data, memory_bytes) as messages:
            return next(messages)[1]

    def retire(self) -> None:
        """End the idle processes now, and the others after their images."""
        with self._changed:
            idle, self._idle, self._is_retired = self._idle, [], True
        for process in idle:
            process.end()

    def close(self) -> None:
        """Kill all processes; images that are being decoded raise DecodersClosed."""
        with self._changed:
            self._is_retired = self._is_closed = True
            idle, self._idle = self._idle, []
            for process in self._busy:  # the threads that wait for them end them
                process.kill()
            self._changed.notify_all()
        for process in idle:
            process.end()

    @contextmanager
    def _messages(
        self, request: dict[str, object], data: bytes, memory_bytes: int
    ) -> Iterator[Iterator[Message]]:
        """Send a request to a process, and yield its messages up to the last."""
        process = self._borrow()
        is_reusable = False
        timer = Timer(WALL_TIME_FACTOR * self._timeout_s, process.time_out)
        timer.daemon = True
        timer.start()
        try:
            limits = {"memory_bytes": memory_bytes, "cpu_s": self._timeout_s}
            whole_request = {**request, **limits, "size": len(data)}
            with closing(process.exchange(whole_request, data)) as messages:
                yield messages
            is_reusable = True
        except UnreadableImageError as error:
            is_reusable = not isinstance(error, DecodeFailedError)
            raise
        except (OSError, EOFError) as error:  # the process has ended
            if self._is_closed:
                raise DecodersClosed("the decode processes are closed") from error
            raise DecodeFailedError(self._reason(process)) from error
        finally:
            timer.cancel()
            self._give_back(process, is_reusable=is_reusable)

    def _reason(self, process: "_Process") -> str:
        status = process.wait()
        if status == -signal.SIGXCPU or process.is_timed_out:
            return (
                f"decoding the image takes longer than the {self._timeout_s:g} s that are allowed: "
                "save it again as a baseline JPEG or as a PNG"
            )
        if status == -signal.SIGKILL:  # of the kernel, which ends the largest process
            return (
                "the machine had no memory left while it decoded the image: send it again later, "
                "or save it with fewer pixels"
            )
        if status > 0:  # Python ended it: it had no memory to report the error either
            return pixels.OUT_OF_MEMORY
        return "decoding the image ended the decoder: save it again as a baseline JPEG or as a PNG"

    def _borrow(self) -> "_Process":
        with self._changed:
            while self._num_free == 0 and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                raise DecodersClosed("the decode processes are closed")
            self._num_free -= 1
            process = self._idle.pop() if self._idle else _Process()
            self._busy.add(process)
        return process

    def _give_back(self, process: "_Process", *, is_reusable: bool) -> None:
        with self._changed:
            self._num_free += 1
            self._busy.discard(process)
            is_kept = is_reusable and not self._is_retired and len(self._idle) < MAX_IDLE
            if is_kept:
                self._idle.append(process)
            self._changed.notify()
        if not is_kept:
            process.end()


def _empty(height: int, width: int) -> Pixels:
    size_bytes = height * width * 3
    if size_bytes < MAPPED_BYTES:
        return np.empty((height, width, 3), np.uint8)
    # A large block from malloc would stay with this process: see `models.process`.
    return np.frombuffer(mmap(-1, size_bytes), np.uint8).reshape(height, width, 3)


class _Process:
    """One decode process."""

    def __init__(self) -> None:
        self.is_timed_out = False
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "models.data.decode_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # warnings of Pillow and libtiff about the file
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(
                    filter(None, [_PACKAGES, os.environ.get("PYTHONPATH", "")])
                ),
                "OPENBLAS_NUM_THREADS": "1",
            },
            pipesize=PIPE_BYTES,
        )

    def exchange(self, request: dict[str, object], data: bytes) -> Generator[Message, None, None]:
        """
        Send a request, and yield the messages that answer it up to the last.

        Raises the error that the process reports, and OSError or EOFError if it has ended.
        """
        sink, source = self._popen.stdin, self._popen.stdout
        assert sink is not None
        assert source is not None
        sink.write(json.dumps(request).encode() + b"\n")
        sink.write(data)
        sink.flush()
        kind = ""
        while kind != "done":
            line = source.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            message = json.loads(line)
            kind = message["kind"]
            if kind == "error":
                raise _ERRORS[message["error"]](message["reason"])
            payload = source.read(message["size"])
            if len(payload) < message["size"]:
                raise EOFError
            yield message, payload

    def kill(self) -> None:
        """Kill the process; a thread that waits for its answer gets EOFError."""
        self._popen.kill()

    def time_out(self) -> None:
        """Kill the process because its image takes too long."""
        self.is_timed_out = True
        self.kill()

    def end(self) -> None:
        """Kill the process and forget it, from the only thread that uses it."""
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            with suppress(OSError):  # what was not sent
                pipe.close()

    def wait(self) -> int:
        """Return the exit status; minus the number of the signal that ended the process."""
        return self._popen.wait()
