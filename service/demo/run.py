"""The main job from end to end, on one machine and in a folder of its own."""

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

from service.client import Client, ClientError, server_url
from service.commands.contact_sheet import save_contact_sheet
from service.commands.folder_import import import_images
from service.commands.hard_negatives import print_table
from service.commands.progress import image_progress
from service.demo.data import CLASS_NAMES, save_pool
from service.demo.server_process import HOST, free_port, is_free, running_server
from service.demo.training import ARCHITECTURE, BATCH_SIZE, NUM_TRAIN, train_detector

NUM_SHOWN = 10
USUAL_PORT = 8000
NUM_CONNECTIONS = 1  # so that images get their ids in order, each time the same


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a person may change; `port` None is 8000, or a free one if that is taken."""

    folder: Path
    port: int | None
    seed: int
    num_steps: int
    pool_size: int
    starts_over: bool
    exits: bool


def run_demo(options: DemoOptions) -> None:
    """Raises ClientError, with a sentence for a person."""
    started = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):  # the server must not outlive the demo
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    with _only_demo_in(options.folder):
        port = _choose_port(options.port)
        if options.starts_over:
            _clear(options.folder)
        checkpoint = _trained_checkpoint(options)
        with _step(f"made {options.pool_size} photographs for the pool"):
            save_pool(_pool(options), options.seed, options.pool_size)
        data_dir, log = options.folder / "data", options.folder / "server.log"
        try:
            with running_server(data_dir, port, log, {"LOG_LEVEL": "warning"}) as server:
                _show_main_job(options, checkpoint, port)
                typer.echo(f"\nall of it took {time.monotonic() - started:.0f} s")
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


def _clear(folder: Path) -> None:
    """Only what a demo makes."""
    for name in ("data", "pool"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in (*folder.glob("detector-*.safetensors"), folder / "server.log"):
        path.unlink(missing_ok=True)


def _pool(options: DemoOptions) -> Path:
    return options.folder / "pool" / f"seed-{options.seed}-of-{options.pool_size}"


def _trained_checkpoint(options: DemoOptions) -> Path:
    path = options.folder / f"detector-seed-{options.seed}-steps-{options.num_steps}.safetensors"
    if path.exists():
        typer.echo(f"reusing {path} of an earlier run (--fresh starts over)")
        return path
    typer.echo(
        f"training {ARCHITECTURE} from scratch to find handwritten {' and '.join(CLASS_NAMES)} in "
        f"{NUM_TRAIN} photographs: {options.num_steps} steps of {BATCH_SIZE}"
    )
    with _step("trained"), image_progress() as progress:
        trained = train_detector(
            path, seed=options.seed, num_steps=options.num_steps, progress=progress
        )
    typer.echo(f"  AP50 {trained.ap50:.2f}, AP@[.5:.95] {trained.ap50_95:.2f} on unseen scenes")
    return path


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


def _show_main_job(options: DemoOptions, checkpoint: Path, port: int) -> None:
    with Client(server_url(HOST, port)) as client:
        with _step("added and activated the model version"):
            version = client.add_checkpoint(checkpoint)
            client.activate(str(version.id))
        pool = _pool(options)
        with _step(f"posted {pool} over HTTP"), image_progress() as progress:
            report = import_images(
                client,
                pool,
                split="pool",
                source="demo",
                num_connections=NUM_CONNECTIONS,
                progress=progress,
            )
        typer.echo(f"  {report.num_new} new, {report.num_known} known already")
        page = client.hard_negatives({"n": str(NUM_SHOWN), "source": "demo"})
        typer.echo(
            f"\nthe {NUM_SHOWN} hardest negatives: no {' and no '.join(CLASS_NAMES)} in any of "
            "them (the file's name tells what is)"
        )
        print_table(page)
        sheet = options.folder / "hard-negatives.jpg"
        save_contact_sheet(client, page, sheet)
        typer.echo(f"with their boxes drawn: {sheet}")


def _stay(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    url = server_url(HOST, port)
    typer.echo(
        f"\nThe service runs at {url} until Ctrl-C (its log: {log}). Try, from another shell:\n"
        f"  {url}/docs\n"
        f"  curl '{url}/hard-negatives?n=3'\n"
        f"  curl -F file=@photo.jpg {url}/score"
    )
    status = server.wait()
    raise ClientError(f"the server ended with status {status}; {log} tells why")


@contextmanager
def _step(done: str) -> Iterator[None]:
    """Says what was done, and how long it took."""
    started = time.monotonic()
    yield
    typer.echo(f"{done} in {time.monotonic() - started:.1f} s")
