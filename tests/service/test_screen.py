"""Quick scores decide which images are scored exactly, never how the worst of them rank."""

import math
import sys
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient
from torch import Tensor

from models.detectors import Detector
from models.detectors.checkpoint import load_checkpoint
from models.detectors.detector import no_detections
from models.inference.compiled import compile_dense
from models.inference.predict import Prediction, predict, prepare
from models.inference.trial import try_bfloat16
from service.app import create_app
from service.model_versions import store as version_store
from service.scoring.screen import Screen, has_bfloat16, make_screen
from service.scoring.store import Failure
from service.serving import loading
from service.serving.loading import compile_version, load_version
from service.settings import Settings
from tests.scenes import ORANGE, RED, scene_bytes
from tests.service.clients import local_client


def _prediction(log_odds: float | None) -> Prediction:
    return Prediction(0.5, log_odds, no_detections())


def _measured(*errors: float) -> Screen:
    screen = Screen(exact_top=2, sample_size=2)
    quick = {i: _prediction(1.0 + error) for i, error in enumerate(errors)}
    screen.learn(quick, {i: _prediction(1.0) for i in quick})
    return screen


def test_everything_is_scored_exactly_until_the_error_is_known() -> None:
    screen = _measured(0.01)

    assert screen.margin == math.inf
    assert screen.needs_exact(_prediction(-100.0), 5.0)


def test_what_an_earlier_process_has_learned_makes_no_margin_smaller() -> None:
    screen = Screen(exact_top=2, sample_size=2, largest_error=0.2)  # on noise, at load

    screen.remember(2, 0.1)
    before = screen.margin
    screen.remember(2, 0.4)

    assert (before, screen.margin) == pytest.approx((0.6, 1.2))


def test_only_what_the_margin_leaves_below_the_top_is_not_scored_again() -> None:
    screen = _measured(0.01, -0.1)

    assert screen.margin == pytest.approx(0.3)
    assert screen.needs_exact(_prediction(4.71), 5.0)
    assert not screen.needs_exact(_prediction(4.69), 5.0)
    assert screen.needs_exact(_prediction(-100.0), None)  # the top is not full yet
    assert screen.needs_exact(_prediction(None), 5.0)
    assert screen.needs_exact(Failure("not finite"), 5.0)


@pytest.mark.parametrize("is_compiled", [False, True])
def test_the_worst_images_have_the_scores_of_float32(
    serving: TestClient, checkpoint: Path, is_compiled: bool
) -> None:
    assert isinstance(serving.app, FastAPI)
    scorer = serving.app.state.scorer
    version = scorer.serving
    dense = compile_dense(load_checkpoint(checkpoint).eval(), num_streams=2)
    sizes: list[int] = []

    def counted(pixels: Tensor) -> dict[str, Tensor]:
        sizes.append(len(pixels))
        return dense(pixels)

    screen = Screen(exact_top=10, sample_size=8, dense=counted if is_compiled else None)
    scorer.swap(replace(version, screen=screen, batch_size=4))
    contents = [scene_bytes(seed, (RED, ORANGE, None)[seed % 3]) for seed in range(96)]
    sealed = [scene_bytes(seed, RED) for seed in range(200, 208)]

    sealed_ids = _send(serving, "negative-test", sealed)
    _send(serving, "pool", contents)
    _wait_until_scored(serving, len(contents))

    ranked = serving.get("/hard-negatives", params={"n": 96}).json()["items"]
    exact = dict(enumerate(_exact(version.detector, contents)))
    names = [int(item["image"]["file_name"]) for item in ranked]
    assert names[:10] == sorted(exact, key=lambda index: -exact[index])[:10]
    off = [abs(item["log_odds"] - exact[index]) for item, index in zip(ranked, names, strict=True)]
    assert max(off[:10]) < 1e-3
    assert max(off) > 1e-3  # the rest were not scored again
    found = [serving.get(f"/images/{id_}").json()["log_odds"] for id_ in sealed_ids]
    assert found == pytest.approx(_exact(version.detector, sealed), abs=1e-3)
    if is_compiled:  # for quick scores, and for no others
        assert screen.num_images <= sum(sizes) < len(contents)
    else:
        assert not sizes


def test_the_next_start_begins_with_what_was_learned(
    serving: TestClient, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _accept_any_speed(monkeypatch)
    assert isinstance(serving.app, FastAPI)
    state = serving.app.state
    made = make_screen(load_checkpoint(checkpoint).eval(), "v1", min_speedup=0)
    if made is None:
        pytest.skip("this processor has no bfloat16")
    learning = Screen(exact_top=2, sample_size=8, computed_by=made.computed_by)
    state.scorer.swap(replace(state.scorer.serving, screen=learning, batch_size=4))
    _send(serving, "pool", [scene_bytes(seed, (RED, None)[seed % 2]) for seed in range(64)])
    _wait_until_scored(serving, 64)

    (shown,) = serving.get("/model-versions/squares").json()["screen_margins"]
    with state.read_sessions.begin() as session:
        row = version_store.find_by_name(session, "squares")
    assert row is not None
    loaded = load_version(state.blobs, row, state.settings, state.scorer, state.read_sessions)
    compiled = compile_version(loaded, state.blobs, row, state.scorer, state.read_sessions)

    assert shown["num_images"] == learning.num_images >= 8
    assert shown["largest_error"] == learning.largest_error > 0
    assert shown["margin"] is None  # below the 64 images of a service that runs
    assert shown["computed_by"].endswith(torch.__version__)
    assert loaded.screen is not None
    assert loaded.screen.num_images == learning.num_images
    assert loaded.screen.largest_error >= learning.largest_error
    assert compiled.screen is not None
    assert compiled.screen.computed_by.endswith(f", OpenVINO {metadata.version('openvino')}")
    assert compiled.screen.num_images == 0  # other code errs differently


def test_a_large_pool_is_screened_by_what_is_compiled_meanwhile(
    settings: Settings, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_bfloat16(torch.device("cpu")):
        pytest.skip("this processor has no bfloat16")
    _accept_any_speed(monkeypatch)
    monkeypatch.setattr(loading, "WORTH_FROM", 8)
    app = create_app(settings.model_copy(update={"backend": "openvino"}))
    with local_client(app) as client, checkpoint.open("rb") as file:
        client.post("/model-versions", files={"checkpoint": file}, data={"name": "squares"})
        client.post("/model-versions/squares/activate").raise_for_status()
        _send(client, "pool", [scene_bytes(seed, RED) for seed in range(6)])
        _wait_until_scored(client, 6)
        before = app.state.scorer.serving
        _send(client, "pool", [scene_bytes(seed, RED) for seed in range(6, 8)])

        deadline = time.monotonic() + 120
        while app.state.scorer.serving is before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        compiled = app.state.scorer.serving
        _send(client, "pool", [scene_bytes(seed, RED) for seed in range(8, 24)])
        _wait_until_scored(client, 24)

        assert before.screen is None or before.screen.dense is None
        assert compiled.screen.dense is not None
        assert compiled.detector is before.detector
        assert app.state.scorer.serving is compiled  # once is enough


def test_eager_scores_have_no_screen(serving: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    _accept_any_speed(monkeypatch)
    assert isinstance(serving.app, FastAPI)
    state = serving.app.state
    with state.read_sessions.begin() as session:
        row = version_store.find_by_name(session, "squares")
    assert row is not None
    settings = state.settings.model_copy(update={"backend": "eager"})

    loaded = load_version(state.blobs, row, settings, state.scorer, state.read_sessions)

    assert loaded.screen is None


def test_what_cannot_be_compiled_goes_on_as_it_is(
    serving: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(serving.app, FastAPI)
    state = serving.app.state
    with state.read_sessions.begin() as session:
        row = version_store.find_by_name(session, "squares")
    assert row is not None
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed

    compiled = compile_version(
        state.scorer.serving, state.blobs, row, state.scorer, state.read_sessions
    )

    assert compiled is state.scorer.serving
    assert any("backend refused" in line for line in caplog.messages)


def _accept_any_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever machine this is."""
    defaults = {**(make_screen.__kwdefaults__ or {}), "min_speedup": 0.0, "min_gain": 0.0}
    monkeypatch.setattr(make_screen, "__kwdefaults__", defaults)


def _send(client: TestClient, split: str, contents: list[bytes]) -> list[int]:
    files = [("files", (str(index), data)) for index, data in enumerate(contents)]
    response = client.post(
        "/images", files=files, data={"split": split}, headers={"Prefer": "respond-async"}
    )
    response.raise_for_status()
    return [item["image"]["id"] for item in response.json()["items"]]


def _exact(detector: Detector, contents: list[bytes]) -> list[float]:
    found = predict(detector, [prepare(detector, data) for data in contents])
    return [prediction.log_odds or math.nan for prediction in found]


def _wait_until_scored(client: TestClient, num_images: int) -> None:
    deadline = time.monotonic() + 300
    while client.get("/hard-negatives").json()["pool"]["scored"] < num_images:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_backend_that_is_too_far_off_or_too_slow_is_refused(checkpoint: Path) -> None:
    detector = load_checkpoint(checkpoint).eval()

    assert make_screen(detector, "v1", max_error=1e-9, min_speedup=0) is None
    assert make_screen(detector, "v1", min_speedup=1e9) is None
    assert make_screen(detector, "v1", dense=detector.dense, min_speedup=0, min_gain=1e9) is None


def test_compiled_code_that_knows_one_size_of_a_batch_is_found_out(checkpoint: Path) -> None:
    detector = load_checkpoint(checkpoint).eval()

    def of_the_first(pixels: Tensor) -> dict[str, Tensor]:
        outputs = detector.dense(pixels[:1])
        return {name: out.expand(len(pixels), *out.shape[1:]) for name, out in outputs.items()}

    right = try_bfloat16(detector, detector.dense)
    wrong = try_bfloat16(detector, of_the_first)

    assert right.error < 0.5 < wrong.error


def test_half_the_bits_are_timed_and_compared(checkpoint: Path) -> None:
    detector = load_checkpoint(checkpoint).eval()

    error, speedup, gain = try_bfloat16(detector)

    assert 0 < error < 1
    assert 0.001 < speedup < 1000
    assert gain == 1
