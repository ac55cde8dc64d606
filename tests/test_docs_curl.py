"""Every command of docs/how-to/with-curl.md, run against a server of its own on a little data."""

import io
import json
import re
import shlex
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from hardneg.demo.server_process import free_port, running_server
from models.detectors import build
from models.detectors.checkpoint import save_checkpoint
from tests.scenes import ORANGE, RED, encoded, scene, scene_bytes

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "with-curl.md"


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def labelled_zip(seeds: Sequence[int]) -> bytes:
    """Return a zip of red squares, with their boxes as COCO JSON."""
    files, images, annotations = {}, [], []
    for number, seed in enumerate(seeds):
        pixels, box = scene(seed, RED)
        assert box is not None
        x1, y1, x2, y2 = box
        files[f"{seed}.png"] = encoded(pixels)
        images.append({"id": number, "file_name": f"{seed}.png"})
        bbox = [x1, y1, x2 - x1, y2 - y1]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": bbox})
    coco = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "red"}],
    }
    return zipped({**files, "labels.json": json.dumps(coco).encode()})


def negatives_zip(seeds: Sequence[int]) -> bytes:
    return zipped({f"{seed}.png": scene_bytes(seed, ORANGE) for seed in seeds})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the files that the page sends."""
    (tmp_path / "train.zip").write_bytes(labelled_zip(range(100, 112)))
    (tmp_path / "val.zip").write_bytes(labelled_zip(range(200, 204)))
    (tmp_path / "sealed.zip").write_bytes(negatives_zip(range(300, 306)))
    (tmp_path / "pool.zip").write_bytes(negatives_zip(range(400, 420)))
    (tmp_path / "photo.jpg").write_bytes(encoded(scene(500, RED)[0], "JPEG"))
    (tmp_path / "README.md").write_text("no image")
    save_checkpoint(build("ssd_small", ["red"]), tmp_path / "better.safetensors")
    return tmp_path


@pytest.mark.slow
def test_every_command_of_the_page_succeeds(folder: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    commands = re.findall(r"^\$ (curl (?:.*\\\n)*.*)$", text, re.MULTILINE)
    port = free_port()

    assert len(commands) >= 12
    with running_server(folder / "data", port, folder / "server.log", {"DEVICE": "cpu"}):
        for command in commands:
            words = shlex.split(
                command.replace("localhost:8000", f"127.0.0.1:{port}"), comments=True
            )
            answer = subprocess.run(
                [words[0], "--silent", "--fail-with-body", "--max-time", "300", *words[1:]],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            print(command, answer.stdout, sep="\n")
            assert answer.returncode == 0, answer.stderr
            assert '"failure":"' not in answer.stdout
            if "/events" in command:
                assert answer.stdout.rstrip().endswith('data: {"status": "done"}')
