"""The commands against a real server in a child process."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from hardneg import Client
from hardneg.cli.app import app
from hardneg.demo.server_process import free_port, running_server
from hardneg.schemas.hard_negatives import Coverage
from models.detectors import build
from models.detectors.checkpoint import save_checkpoint
from tests.service.job_kinds import wait_until

pytestmark = pytest.mark.slow

KEY = "a key for the tests"
MAX_BODY_BYTES = 60_000


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    settings = {
        "API_KEY": KEY,
        "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "DEVICE": "cpu",
        "EMBEDDED_WORKER": "false",
    }
    with running_server(folder / "data", port, folder / "server.log", settings):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "digits.safetensors"
    save_checkpoint(build("ssd_small", ["3", "8"], score_threshold=0.0), path)
    return path


@pytest.fixture(scope="module")
def serving_url(url: str, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of the server once version `digits` serves and has scored the pool, `yards` in it."""
    folder = tmp_path_factory.mktemp("yards")
    for index in range(40):
        save_noise(folder / f"{index}.png", 500 + index)
    hardneg(url, "model", "add", str(checkpoint), "--name", "digits", "--activate")
    hardneg(url, "import", str(folder), "--source", "yards")
    with Client(url, api_key=KEY) as client:
        wait_until(lambda: is_whole(client.hard_negatives(1).pool), timeout_s=60)
    return url


def is_whole(pool: Coverage) -> bool:
    return pool.scored == pool.images


def hardneg(url: str, *words: str, key: str = KEY) -> Result:
    return CliRunner().invoke(app, [*words, "--url", url, "--api-key", key])


def save_noise(path: Path, seed: int, side: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def test_ranking_without_a_version_says_how_to_add_one(bare_url: str) -> None:
    result = hardneg(bare_url, "hard-negatives")

    assert result.exit_code == 1
    assert result.stderr.startswith("hardneg: no model version serves")


def test_wrong_key_is_reported_in_one_sentence(url: str, tmp_path: Path) -> None:
    save_noise(tmp_path / "one.png", 0)

    listing = hardneg(url, "model", "list", key="wrong")
    upload = hardneg(url, "import", str(tmp_path), key="wrong")

    assert (listing.exit_code, upload.exit_code) == (1, 1)
    assert listing.stderr.startswith("hardneg: send a valid key")
    assert "send a valid key" in upload.stderr


def test_versions_are_added_listed_and_activated(url: str, checkpoint: Path) -> None:
    added = hardneg(url, "model", "add", str(checkpoint), "--name", "digits")
    again = hardneg(url, "model", "add", str(checkpoint), "--name", "digits")
    built = hardneg(
        url, "model", "add", "--architecture", "ssd_small", "--class", "fox", "--name", "foxes"
    )
    activated = hardneg(url, "model", "activate", "digits")
    listed = hardneg(url, "model", "list")

    assert re.fullmatch(r"digits \(id \d\): ssd_small, 3, 8\n", added.output)
    assert again.output == added.output
    assert re.fullmatch(r"foxes \(id \d\): ssd_small, fox\n", built.output)
    assert activated.output.startswith("digits serves")
    rows = [line for line in listed.output.splitlines() if "ssd_small" in line]
    assert {"digits" in row: "serves" in row for row in rows} == {True: True, False: False}


def test_wrong_versions_are_refused_in_one_sentence(url: str, tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"no checkpoint")

    unknown = hardneg(url, "model", "activate", "a/b")
    broken = hardneg(url, "model", "add", str(tmp_path / "broken.safetensors"))
    missing = hardneg(url, "model", "add", str(tmp_path / "missing.safetensors"))

    assert [result.exit_code for result in (unknown, broken, missing)] == [1, 1, 1]
    assert broken.stderr.startswith("hardneg: ")
    assert missing.stderr.startswith("hardneg: cannot read")


def test_import_stores_good_files_and_lists_the_others(url: str, tmp_path: Path) -> None:
    for index in range(40):
        save_noise(tmp_path / f"camera {index % 3}" / f"{index}.png", index)
    (tmp_path / "half.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much of a photograph")
    (tmp_path / "empty.png").touch()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "notes.txt").write_text("no image")

    first = hardneg(url, "import", str(tmp_path), "--source", "cameras")
    second = hardneg(url, "import", str(tmp_path), "--source", "cameras")

    assert (first.exit_code, second.exit_code) == (1, 1)
    assert "43 images: 40 new, 0 known already, 3 refused" in first.output
    assert "43 images: 0 new, 40 known already, 3 refused" in second.output
    for name in ("half.jpg", "empty.png", "gone.png"):
        assert any(line.startswith(f"{name}: ") for line in first.stderr.splitlines())
    assert "left out 1 other files" in first.output


def test_file_that_is_too_large_does_not_stop_the_others(url: str, tmp_path: Path) -> None:
    for index in range(12):
        save_noise(tmp_path / f"{index}.png", 100 + index, side=64)
    save_noise(tmp_path / "large.png", 200, side=200)

    result = hardneg(url, "import", str(tmp_path), "--split", "negative-test")

    assert result.exit_code == 1
    assert "13 images: 12 new, 0 known already, 1 refused" in result.output
    assert "large.png: the request body is larger than this service takes" in result.stderr


def test_hardest_images_come_as_table_json_and_picture(serving_url: str, tmp_path: Path) -> None:
    sheet = tmp_path / "worst.png"

    table = hardneg(serving_url, "hard-negatives", "-n", "3", "--source", "yards")
    as_json = hardneg(serving_url, "hard-negatives", "-n", "3", "--source", "yards", "--json")
    saved = hardneg(serving_url, "hard-negatives", "-n", "7", "--save-sheet", str(sheet))

    assert re.search(r"digits has scored (\d+) of \1 images", table.output)
    page = json.loads(as_json.stdout)
    assert [item["rank"] for item in page["items"]] == [1, 2, 3]
    scores = [item["log_odds"] for item in page["items"]]
    assert scores == sorted(scores, reverse=True)
    assert saved.exit_code == 0
    with Image.open(sheet) as picture:
        assert picture.width > 5 * 256
        assert picture.height > 2 * 256


@pytest.mark.parametrize(
    "words",
    [
        ["model", "list"],
        ["hard-negatives", "--save-sheet", "worst.jpg"],
        ["hard-negatives", "--json", "--save-sheet", "worst.jpg"],
        ["import", "."],
        ["--version"],
        ["import", "--help"],
    ],
    ids=" ".join,
)
def test_closed_pipe_ends_a_command_quietly_after_its_work(
    serving_url: str, tmp_path: Path, words: list[str]
) -> None:
    """`| head` closes its pipe like this when it has read enough lines."""
    save_noise(tmp_path / "one.png", 300)
    reading, writing = os.pipe()
    os.close(reading)

    with open(writing, "wb") as closed_pipe:
        command = subprocess.run(
            [sys.executable, "-m", "hardneg", *words],
            cwd=tmp_path,
            env={**os.environ, "HARDNEG_URL": serving_url, "HARDNEG_API_KEY": KEY},
            stdout=closed_pipe,
            stderr=subprocess.PIPE,
            text=True,
        )

    assert command.returncode == 1
    told = [line for line in command.stderr.splitlines() if "importing" not in line]
    if "--save-sheet" in words:
        assert told == ["saved worst.jpg"]
        assert (tmp_path / "worst.jpg").stat().st_size > 1000
    else:
        assert told == []


def test_sheet_that_cannot_be_saved_fails_with_a_message(serving_url: str, tmp_path: Path) -> None:
    result = hardneg(serving_url, "hard-negatives", "--save-sheet", str(tmp_path / "sheet.unknown"))

    assert result.exit_code == 1
    assert result.stderr.startswith("hardneg: cannot save")


def test_unknown_class_is_reported_in_one_sentence(serving_url: str) -> None:
    result = hardneg(serving_url, "hard-negatives", "--label", "zebra")

    assert result.exit_code == 1
    assert (
        result.stderr
        == "hardneg: version 'digits' does not know the class 'zebra': use one of 3, 8\n"
    )
