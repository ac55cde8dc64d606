"""`hardneg export`, and the import of lists, against a real server in a child process."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hardneg import Client
from hardneg.cli.app import app
from hardneg.demo.server_process import free_port, running_server
from tests.scenes import ORANGE, scene_bytes

pytestmark = pytest.mark.slow

NUM_IMAGES = 6


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a service with an untrained version that serves, and six images in its pool."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"DEVICE": "cpu", "EMBEDDED_WORKER": "false"}
    with running_server(folder / "data", port, folder / "server.log", settings):
        with Client(url) as client:
            client.add_architecture("ssd_small", class_names=["red"], name="base")
            client.activate("base")
            images = [(f"yard {seed}.png", scene_bytes(seed, ORANGE)) for seed in range(NUM_IMAGES)]
            client.upload_images(images, source="yard")
        yield url


def run(url: str, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--url", url])


def export(url: str, out: Path, *words: str) -> Result:
    return run(url, "export", "--out", str(out), "--format", "yolo", *words)


def test_folder_holds_the_hardest_images_as_negatives(url: str, tmp_path: Path) -> None:
    out = tmp_path / "mined"

    result = export(url, out, "-n", "4", "--source", "yard")

    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"4 images, 0 boxes: {out}\n"
    lines = [json.loads(line) for line in (out / "hardneg.jsonl").read_text().splitlines()]
    with Client(url) as client:
        hardest = client.hard_negatives(4).items
    assert [line["sha256"] for line in lines] == [item.image.sha256 for item in hardest]
    for line in lines:
        label = out / "labels" / "train" / Path(line["file_name"]).with_suffix(".txt").name
        assert (out / line["file_name"]).is_file()
        assert label.read_bytes() == b""
    assert [*tmp_path.iterdir()] == [out]


def test_zip_with_links_holds_no_image(url: str, tmp_path: Path) -> None:
    out = tmp_path / "links.zip"

    result = export(url, out, "--images", "links")

    assert result.stdout == f"{NUM_IMAGES} images, 0 boxes: {out}\n"
    with zipfile.ZipFile(out) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".png")]
        line = json.loads(archive.read("hardneg.jsonl").splitlines()[0])
    assert line["url"] == f"{url}/images/{line['image_id']}/content"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--content", "delta"], "--content needs --run"),
        (["--run", "1", "--label", "red"], "--run exports a frozen list"),
        (["--run", "1", "-n", "3"], "--run exports a frozen list"),
        (["--run", "99"], "there is no training run 99"),
        (["--label", "blue"], "does not know the class 'blue'"),
    ],
)
def test_impossible_export_is_reported_in_one_sentence(
    url: str, tmp_path: Path, words: list[str], reason: str
) -> None:
    result = export(url, tmp_path / "out", *words)

    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert reason in result.stderr
    assert [*tmp_path.iterdir()] == []


def test_nothing_is_overwritten(url: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")

    taken = export(url, tmp_path / "mine")
    nowhere = export(url, tmp_path / "missing" / "out")

    assert (taken.exit_code, nowhere.exit_code) == (1, 1)
    assert "exists already" in taken.stderr
    assert "cannot write" in nowhere.stderr
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_exported_list_is_imported(url: str, tmp_path: Path) -> None:
    export(url, tmp_path / "out", "-n", "3")
    shutil.copy(Path(__file__), tmp_path / "out" / "notes.png")
    with (tmp_path / "out" / "hardneg.jsonl").open("a") as file:
        file.write('{"file_name": "notes.png"}\n{"file_name": "gone.png"}\n')

    result = run(url, "import", str(tmp_path / "out" / "hardneg.jsonl"))

    assert result.exit_code == 1
    assert result.stdout == "5 images: 0 new, 3 known already, 2 refused\n"
    assert result.stderr.count("notes.png: not a JPEG") == 1
    assert f"gone.png: there is no such file ({tmp_path}/out/hardneg.jsonl:5)" in result.stderr
