import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests.crash_report import watch_processes as pytest_configure
"""
TESTS = """
import ctypes, os, signal, subprocess, sys

def test_before(): pass

def test_that_ends_the_process():
    subprocess.run([sys.executable, "-c", "print('a program')"], check=True)
    {end}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "shown"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", ["was ended by SIGKILL", "os.kill ("]),
        ("os.kill(os.getpid(), signal.SIGTERM)", ["was ended by SIGTERM", "test_tests.py"]),
        ("ctypes.string_at(0)", ["was ended by SIGSEGV", "Fatal Python error", "string_at"]),
        ("os._exit(3)", ["ended with status 3"]),
    ],
)
def test_end_of_a_test_process_is_explained(tmp_path: Path, end: str, shown: list[str]) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_tests.py").write_text(TESTS.format(end=end))

    run = _run_tests(tmp_path)

    report = run.stdout.partition("test process gw0 ended early")[2]
    expected = ["test test_tests.py::test_that_ends_the_process", "a program", " MB, ", *shown]
    assert [text for text in expected if text not in report] == [], run.stdout
    assert "test_before" not in report


def _run_tests(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "1"),
            *("--max-worker-restart", "0", "--rootdir", str(folder), str(folder)),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_program_started_by_a_test_shares_no_pipe_with_the_test_process(
    pytestconfig: pytest.Config,
) -> None:
    """A program that read from pytest-xdist's pipe, or wrote to it, would end the run."""
    if pytestconfig.getoption("capture") == "no":
        pytest.skip("without capture a program reads the terminal")
    shown = "import os; print(*(f'{n}={os.readlink(f\"/proc/self/fd/{n}\")}' for n in range(3)))"
    listed = "import os; print(sorted(int(name) for name in os.listdir('/proc/self/fd')))"

    own = subprocess.run([sys.executable, "-c", shown], stdout=subprocess.PIPE, check=True)
    files = subprocess.run([sys.executable, "-c", listed], stdout=subprocess.PIPE, check=True)

    assert own.stdout.startswith(b"0=/dev/null ")
    assert files.stdout.strip() == b"[0, 1, 2, 3]"  # 3 is the listing
