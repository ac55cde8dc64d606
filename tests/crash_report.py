"""
Evidence about a pytest-xdist process that ends early: how it ended, and its last steps.

pytest-xdist reports "node down: Not properly terminated" and nothing else when a process is ended
by a signal. Each process therefore writes its tests, its programs and its signals to a file as they
happen, and the controlling process prints the end of that file beside the exit status.
"""

import faulthandler
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

RECORDED_EVENTS = {"subprocess.Popen", "os.fork", "os.posix_spawn", "os.kill", "os.killpg"}
FATAL_SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # they end Python silently
MAX_SHOWN_LINES = 200
MAX_EVENT_LENGTH = 300
EXIT_TIMEOUT_S = 10


def watch_processes(config: pytest.Config) -> None:
    """Record this process if pytest-xdist started it, or else report on those it starts."""
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    if worker is None:
        config.pluginmanager.register(CrashReporter())
    else:
        path = Path(worker["crash_folder"]) / f"{worker['workerid']}.log"
        config.pluginmanager.register(Recorder(path))


class Recorder:
    """Writes a process's steps to a file, unbuffered, so that a kill loses none."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._pid = os.getpid()
        sys.addaudithook(self._record_event)

    def pytest_sessionstart(self) -> None:
        """Send fatal errors to the file; pytest itself has sent them to stderr before this."""
        faulthandler.enable(self._file)
        for number in FATAL_SIGNALS:
            faulthandler.register(number, self._file, chain=True)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write(f"test {nodeid} ({_resources()})")

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._write(f"done {nodeid}")

    def _record_event(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in RECORDED_EVENTS and os.getpid() == self._pid:  # not in a forked child
            shown = arguments[1] if event == "subprocess.Popen" else arguments
            self._write(f"{event} {shown}"[:MAX_EVENT_LENGTH])

    def _write(self, line: str) -> None:
        with suppress(OSError):  # a full disk must not fail the test that starts a program
            self._file.write(f"{time.strftime('%H:%M:%S')} {line}\n".encode(errors="replace"))


class CrashReporter:
    """Shows at the end of the run how each process that ended early came to its end."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._reports: list[tuple[str, list[str]]] = []
        self._num_oom_kills = _num_oom_kills()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="hardneg-tests-"))
        node.workerinput["crash_folder"] = str(self._folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error and self._folder is not None:
            name = node.gateway.id
            status = node.gateway._io.popen.wait(EXIT_TIMEOUT_S)
            lines = [
                f"process {node.gateway._io.popen.pid} {_describe(status)}; the kernel killed "
                f"{_num_oom_kills() - self._num_oom_kills} processes for lack of memory meanwhile",
                *_last_test((self._folder / f"{name}.log").read_text(errors="replace")),
                f"all of it: {self._folder / name}.log; for a core file run `ulimit -c unlimited`",
            ]
            self._reports.append((name, lines))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name, lines in self._reports:
            terminalreporter.section(f"test process {name} ended early", red=True)
            for line in lines:
                terminalreporter.write_line(line)

    def pytest_unconfigure(self) -> None:
        if self._folder is not None and not self._reports:
            shutil.rmtree(self._folder, ignore_errors=True)


def _last_test(recorded: str) -> list[str]:
    """Return the lines from the start of the last test on, at most `MAX_SHOWN_LINES`."""
    lines = recorded.splitlines()
    starts = [index for index, line in enumerate(lines) if line[9:].startswith("test ")]
    return lines[starts[-1] if starts else 0 :][:MAX_SHOWN_LINES]


def _describe(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal.Signals(-status).name}"


def _resources() -> str:
    """Return what grows when a test leaks, or nothing where there is no /proc."""
    try:
        status = Path("/proc/self/status").read_text()
        num_files = len(os.listdir("/proc/self/fd"))
    except OSError:
        return ""
    fields = dict(line.split(":", 1) for line in status.splitlines())
    size_mb = int(fields["VmRSS"].split()[0]) // 1024
    return f"{size_mb} MB, {fields['Threads'].strip()} threads, {num_files} files"


def _num_oom_kills() -> int:
    """Return the kernel's count of processes it killed for lack of memory; 0 where unknown."""
    try:
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    except OSError:
        return 0
    return int(counters.get("oom_kill", 0))
