import fcntl
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from hardneg.client import Client
from hardneg.demo.server_process import free_port, is_free

pytestmark = pytest.mark.slow

SMALL = ["--steps", "2", "--train-size", "16", "--pool-size", "12"]


def start_demo(folder: Path, port: int, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "hardneg", "demo", *SMALL, *options),
            *("--folder", str(folder), "--port", str(port)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_demo_shows_the_loop_and_a_second_run_reuses_it_until_ctrl_c(tmp_path: Path) -> None:
    port = free_port()

    with start_demo(tmp_path, port, "--exit") as first:
        output, errors = first.communicate()
    assert first.returncode == 0, errors
    assert "training ssd_small from scratch" in output
    assert "digits has scored 12 of 12 images" in output
    rows = [line.split()[:2] for line in output.splitlines()]
    assert ["digits", "0"] in rows
    assert ["mined-1", "2"] in rows
    assert is_free(port)
    with Image.open(tmp_path / "hard-negatives.jpg") as sheet:
        assert sheet.width > 5 * 256
    with Image.open(tmp_path / "curves.png") as curves:
        assert curves.width > 1000

    with start_demo(tmp_path, port) as second:
        assert second.stdout is not None
        shown = []
        for line in second.stdout:
            shown.append(line)
            if "The dashboard runs at" in line:
                break
        with Client(f"http://127.0.0.1:{port}") as client:
            assert len(client.hard_negatives(5).items) == 5
            assert [job.status for job in client.iter_jobs(kind="retrain")] == ["done", "done"]
        second.send_signal(signal.SIGINT)
        rest, errors = second.communicate()
    assert second.returncode == 0, errors
    assert _table(shown) == _table(output.splitlines(keepends=True))
    assert "stopped; the same command starts it again" in rest
    assert is_free(port)


def _table(lines: list[str]) -> list[str]:
    starts = (" version", " digits", " mined")
    return [line for line in lines if line.startswith(starts)]


def test_taken_port_is_reported_before_any_work(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        start_demo(tmp_path, taken.getsockname()[1], "--exit") as demo,
    ):
        output, errors = demo.communicate()

    assert demo.returncode == 1
    assert "is taken: choose another --port" in errors
    assert output == ""


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start_demo(tmp_path, free_port(), "--exit") as demo:
            _, errors = demo.communicate()

    assert demo.returncode == 1
    assert errors.startswith(f"hardneg: another demo runs in {tmp_path}")
