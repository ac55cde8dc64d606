"""A worker process that lives as long as the server that started it."""

import json
import os
import subprocess
import sys
import time
from threading import Event, Thread

import structlog

from models.process import tune_process
from service.settings import Settings
from service.stderr_lines import real_stderr
from service.worker.loop import run_worker

PREFIX = "HARDNEG_"
STOP_GRACE_S = 30.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

log = structlog.get_logger()


class EmbeddedWorker:
    """
    The supervisor of one worker process, which it starts again when that dies.

    The worker's standard input is a pipe from this process that never carries data. When it
    closes, because this process stops or is killed, the worker saves its jobs and ends.
    """

    def __init__(self, settings: Settings) -> None:
        self._environment = _environment(settings)
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="embedded-worker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the worker, and wait until it has saved its jobs and ended."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            started = time.monotonic()
            self._run_once()
            if time.monotonic() - started > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _run_once(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "service.worker.embedded"],
            stdin=subprocess.PIPE,
            stderr=real_stderr(),
            env=self._environment,
            start_new_session=True,  # Ctrl-C at the terminal reaches the server alone
        ) as process:
            while process.poll() is None and not self._stopping.wait(0.2):
                pass
            if process.returncode is not None:
                log.error("worker died, starting it again", status=process.returncode)
                return
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(STOP_GRACE_S + 5)
            except subprocess.TimeoutExpired:
                process.kill()


def start_embedded_worker(settings: Settings) -> EmbeddedWorker:
    """Start a worker process with the same settings, except those of the API alone."""
    return EmbeddedWorker(settings)


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment with these settings, except those of the API alone."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    values = settings.model_dump(
        mode="json",
        exclude={"port", "api_key", "webhook_urls", "webhook_secret"},
        exclude_none=True,
    )
    values["data_dir"] = str(settings.data_dir.absolute())
    return kept | {
        PREFIX + name.upper(): value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def main() -> None:
    tune_process()
    stopping = Event()
    Thread(target=_stop_with_parent, args=[stopping], daemon=True).start()
    run_worker(Settings(), stopping)


def _stop_with_parent(stopping: Event) -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the pipe is closed at the other end
    stopping.set()
    time.sleep(STOP_GRACE_S)
    os._exit(1)  # the job did not stop: its lease expires, and another worker resumes it


if __name__ == "__main__":
    main()
