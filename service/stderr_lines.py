"""Lines that libraries write to standard error by themselves, as lines of the JSON log."""

import faulthandler
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TextIO

import structlog

MAX_LINE_LENGTH = 2000

log = structlog.get_logger()

_real_stderr: TextIO | None = None


def real_stderr() -> TextIO | None:
    """Return the stream behind a log that takes all lines; None if no such log is open."""
    return _real_stderr


@contextmanager
def all_lines_logged() -> Iterator[None]:
    """
    Log each line that anything in this process writes to standard error, libraries in C included.

    libtiff and Python's warnings know nothing of a log in JSON, and a line of theirs would break
    the reading of it. The lines of this log go past the pipe; those of a fatal error, too.
    """
    global _real_stderr
    sys.stderr.flush()
    number = sys.stderr.fileno()
    _real_stderr = os.fdopen(os.dup(number), "w", encoding="utf-8", errors="replace", buffering=1)
    read_end, write_end = os.pipe()
    os.dup2(write_end, number)
    os.close(write_end)
    _set_streams(_real_stderr)
    faulthandler.enable(file=_real_stderr)
    logging.captureWarnings(True)
    reader = Thread(target=_log_lines, args=[read_end], name="stderr", daemon=True)
    reader.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(_real_stderr.fileno(), number)  # the last write end closes, and the reader ends
        reader.join(1.0)
        _set_streams(sys.stderr)
        logging.captureWarnings(False)
        faulthandler.disable()
        _real_stderr = None


def _set_streams(stream: TextIO) -> None:
    for handler in logging.root.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(stream)


def _log_lines(read_end: int) -> None:
    with os.fdopen(read_end, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            text = line.strip()
            if text.startswith("{") and _real_stderr is not None:  # of a child's own log
                _real_stderr.write(line)
            elif text:
                log.warning("a library wrote to stderr", line=text[:MAX_LINE_LENGTH])
