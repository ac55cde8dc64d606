"""The demo from end to end: a server, its data and its pictures in one folder."""

import fcntl
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from hardneg.client import Client, ClientError, server_url
from hardneg.demo.data import SceneCounts, save_scenes
from hardneg.demo.loop import LoopOptions, show_loop
from hardneg.demo.server_process import HOST, free_port, is_free, running_server

USUAL_PORT = 8000


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of the command; `port` None is 8000, or a free port if that is taken."""

    folder: Path
    port: int | None
    seed: int
    num_steps: int
    train_size: int
    pool_size: int
    starts_over: bool
    exits: bool

    @property
    def counts(self) -> SceneCounts:
        return SceneCounts(
            train=self.train_size,
            val=self.train_size // 2,  # fewer would blur AP by as much as promotion allows
            pool=self.pool_size,
            sealed=self.pool_size * 2 // 3,
        )

    @property
    def loop(self) -> LoopOptions:
        return LoopOptions(
            seed=self.seed,
            num_steps=self.num_steps,
            num_round_steps=max(1, self.num_steps * 2 // 5),
            num_mined=self.pool_size // 5,
        )


def run_demo(options: DemoOptions) -> None:
    """Run the demo until Ctrl-C, or to its end; raise ClientError with a sentence for a person."""
    started = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):  # the server must not outlive the demo
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    with _only_demo_in(options.folder):
        port = _choose_port(options.port)
        if options.starts_over:
            _clear(options.folder)
        scenes = save_scenes(options.folder / "scenes", options.seed, options.counts)
        log = options.folder / "server.log"
        try:
            with running_server(_data_dir(options), port, log, {"LOG_LEVEL": "warning"}) as server:
                with Client(server_url(HOST, port)) as client:
                    show_loop(client, scenes, options.loop, options.folder)
                typer.echo(f"\nthe demo took {time.monotonic() - started:.0f} s")
                if not options.exits:
                    _stay(server, port, log)
        except KeyboardInterrupt:
            typer.echo("\nstopped; the same command starts it again with the same data")


@contextmanager
def _only_demo_in(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise ClientError(f"cannot write to {folder}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClientError(
                f"another demo runs in {folder}: stop it, or choose another --folder"
            ) from error
        yield


def _data_dir(options: DemoOptions) -> Path:
    """Return the data folder of these options: other options make other versions."""
    name = (
        f"seed-{options.seed}-steps-{options.num_steps}-train-{options.train_size}"
        f"-pool-{options.pool_size}"
    )
    return options.folder / "data" / name


def _clear(folder: Path) -> None:
    """Delete the files that a demo makes, and nothing else."""
    for name in ("data", "scenes"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "server.log").unlink(missing_ok=True)


def _choose_port(port: int | None) -> int:
    if port is not None:
        if not is_free(port):
            raise ClientError(f"port {port} is taken: choose another --port")
        return port
    if is_free(USUAL_PORT):
        return USUAL_PORT
    chosen = free_port()
    typer.echo(f"port {USUAL_PORT} is taken, using {chosen}")
    return chosen


def _stay(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    url = server_url(HOST, port)
    typer.echo(
        f"\nThe dashboard runs at {url}/ until Ctrl-C (the server's log: {log}).\n"
        "Try, from another shell:\n"
        f"  {url}/docs\n"
        f"  curl '{url}/hard-negatives?n=3'\n"
        f"  curl '{url}/stats/iterations'\n"
        f"  curl -F file=@photo.jpg {url}/score"
    )
    status = server.wait()
    raise ClientError(f"the server ended with status {status}; see {log}")
