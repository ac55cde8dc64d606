"""`hardneg mine` against a real server and its worker."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from hardneg.cli.app import app
from hardneg.client import Client
from hardneg.demo.server_process import free_port, running_server
from models.detectors import build
from models.detectors.checkpoint import save_checkpoint
from tests.service.job_kinds import wait_until
from tests.service.mining import send_everything

pytestmark = pytest.mark.slow

QUICK = ["--epochs", "1", "--steps-per-epoch", "2", "--batch-size", "4"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a service with a few images of each split and a first version that serves."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running_server(folder / "data", port, folder / "server.log", {"DEVICE": "cpu"}):
        with httpx.Client(base_url=url, timeout=60) as client:
            send_everything(client)
        first = mine(url, "--architecture", "ssd_small", "--name", "base", *QUICK)
        assert first.exit_code == 0, first.stderr
        assert "base is promoted: no version served before" in first.stdout
        yield url


def mine(url: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["mine", *words, "--url", url])


def export(url: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["export", *words, "--url", url])


def test_mine_follows_the_rounds_and_prints_table_and_curves(url: str, tmp_path: Path) -> None:
    curves = tmp_path / "curves.png"
    options = ["--num-negatives", "3", "--promotion", "manual", "--name", "mined", *QUICK]

    result = mine(url, *options, "--plot", str(curves))

    assert result.exit_code == 0, result.stderr
    assert "round 1 trains on 8 labelled, 3 mined images" in result.stderr
    assert "round 1, epoch 1 of 1: " in result.stderr
    with Client(url) as client:
        before, after = client.iterations()[:2]
    assert (before.model_version, after.model_version) == ("base", "mined")
    rows = [line.split() for line in result.stdout.splitlines()]
    for version, num_mined in ((before, "0"), (after, "3")):
        assert version.figures is not None
        assert version.figures.ap50_95 is not None
        (row,) = [row for row in rows if row[0] == version.model_version and row[1] == num_mined]
        assert row[2:5] == [
            f"{version.figures.ap50_95.value:.3f}",
            f"{version.figures.ap50:.3f}",
            f"{version.figures.false_detections[0].false_detections.value:.0f}",
        ]
    assert "mined is offered: it waits for POST /model-versions/ID/activate" in result.stdout
    with Image.open(curves) as picture:
        assert picture.width > picture.height > 300
        assert sum(count > 0 for count in picture.convert("L").histogram()) > 10


def test_images_of_a_run_are_exported_with_their_boxes(url: str, tmp_path: Path) -> None:
    words = ["--format", "coco", "--run", "1"]

    whole = export(url, *words, "--out", str(tmp_path / "whole"))
    delta = export(url, *words, "--out", str(tmp_path / "delta.zip"), "--content", "delta")

    assert whole.stdout == f"8 images, 8 boxes: {tmp_path / 'whole'}\n"
    assert delta.stdout == f"0 images, 0 boxes: {tmp_path / 'delta.zip'}\n"
    coco = json.loads((tmp_path / "whole" / "annotations.json").read_bytes())
    for image in coco["images"]:
        assert (tmp_path / "whole" / "images" / image["file_name"]).is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["delta.zip", "whole"]


def test_held_tests_the_hardest_images_and_says_whether_to_trust_it(url: str) -> None:
    words = ["held", "--test", "--model-version", "base", "--url", url]

    result = CliRunner().invoke(app, words)

    assert result.exit_code == 0, result.stderr
    assert "tested images of the pool look like true objects" in result.stdout
    assert "the test is for review only: there are 8 labelled objects" in result.stdout


def test_only_the_curves_are_missing_without_matplotlib(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed

    result = mine(url, "--job", "1", "--plot", str(tmp_path / "curves.png"))

    assert result.exit_code == 0
    assert "pip install 'hardneg[plots]'" in result.stderr
    assert "base is promoted" in result.stdout
    assert [*tmp_path.iterdir()] == []


def test_curves_that_cannot_be_saved_fail_with_a_message(url: str, tmp_path: Path) -> None:
    result = mine(url, "--job", "1", "--plot", str(tmp_path / "curves.unknown"))

    assert result.exit_code == 1
    assert "hardneg: cannot save" in result.stderr


def test_ctrl_c_ends_the_command_but_not_the_job(url: str) -> None:
    words = ["mine", "--epochs", "500", "--steps-per-epoch", "2", "--url", url]
    with (
        subprocess.Popen(
            [sys.executable, "-m", "hardneg", *words],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as watching,
        Client(url) as client,
    ):
        wait_until(lambda: _newest_job_trains(client), timeout_s=60)
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate()
        job_id = _newest_job(client)
        still = client.job(job_id)
        cancelled = client.cancel_job(job_id)

    assert watching.returncode == 130
    assert f"job {job_id} goes on; to watch it again:  hardneg mine --job {job_id}" in errors
    assert f"curl -X POST {url}/jobs/{job_id}/cancel" in errors
    assert (still.status, cancelled.cancel_requested) == ("running", True)
    watched = mine(url, "--job", str(job_id))
    assert watched.exit_code == 1
    assert f"hardneg: job {job_id} is cancelled" in watched.stderr


def run(url: str, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--url", url])


def test_result_of_a_training_elsewhere_is_judged(url: str, tmp_path: Path) -> None:
    save_checkpoint(build("ssd_small", ("red",)), tmp_path / "theirs.safetensors")
    words = ["--num-negatives", "2", "--start-from", "base", "--hold", "review", "--collapse"]
    frozen = run(url, "freeze", *words)
    with Client(url) as client:
        frozen_run = client.training_runs().items[0]
    run_id = frozen_run.id

    words = ["model", "add", str(tmp_path / "theirs.safetensors"), "--name", "theirs"]
    added = run(url, *words, "--run", str(run_id))
    shown = run(url, "model", "show", "theirs")
    activated = run(url, *words, "--run", str(run_id), "--activate")

    assert frozen_run.params["selection"] == {"hold": "review", "collapse": True}
    assert f"run {run_id} is frozen, from version base: 8 labelled, 0 kept and 2" in frozen.stdout
    assert f"hardneg model add FILE --run {run_id}" in frozen.stdout
    assert added.exit_code == 0, added.stderr
    rows = [line.split()[:2] for line in added.stdout.splitlines()]
    assert ["base", "0"] in rows
    assert ["theirs", "2"] in rows
    with Client(url) as client:
        decided = client.training_run(run_id)
    assert f"theirs is {decided.decision}: {decided.reason}" in added.stdout
    assert "on 4 images of val: AP@[.5:.95] " in shown.stdout
    assert activated.exit_code == 1
    assert "--run goes with a FILE, and decides itself" in activated.stderr


def test_refused_request_is_reported_in_one_sentence(url: str) -> None:
    unknown = mine(url, "--start-from", "nobody")
    wrong = mine(url, "--learning-rate", "-1")

    assert (unknown.exit_code, wrong.exit_code) == (1, 1)
    assert "nobody" in unknown.stderr
    assert wrong.stderr.startswith("hardneg: body.learning_rate: ")


def _newest_job(client: Client) -> int:
    jobs = httpx.get(f"{client.url}/jobs").json()["items"]
    return int(jobs[0]["id"])


def _newest_job_trains(client: Client) -> bool:
    return "epoch 1 of 500" in str(client.job(_newest_job(client)).events)
