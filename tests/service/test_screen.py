"""The screen: quick scores spare exact ones, and never change how the worst images rank."""

import math
import sys
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient
from torch import Tensor

from models.detectors.checkpoint import load_checkpoint
from models.detectors.detector import no_detections
from models.detectors.scoring import ScoringDetector
from models.inference.compiled import compile_dense
from models.inference.predict import Prediction, predict, prepare
from models.inference.trial import try_bfloat16
from service.app import create_app
from service.model_versions import store as version_store
from service.scoring.results import ScoringFailure
from service.scoring.screen import Screen, has_bfloat16, make_screen
from service.serving import loading
from service.serving.loading import compile_version, load_version
from service.settings import Settings
from tests.scenes import ORANGE, RED, scene_bytes
from tests.service.clients import local_client
from tests.service.resources import resources_of, serving_of


def _prediction(log_odds: float | None) -> Prediction:
    return Prediction(0.5, log_odds, no_detections())


def _measured(*errors: float) -> Screen:
    screen = Screen(exact_top=2, sample_size=2)
    for error in errors:
        screen.measure(_prediction(1.0 + error), _prediction(1.0))
    return screen


def test_every_image_may_be_in_the_top_until_the_error_is_known() -> None:
    screen = _measured(0.01)

    assert screen.margin == math.inf
    assert screen.may_be_in_top(_prediction(-100.0), 5.0)


def test_measurements_of_an_earlier_process_never_shrink_the_margin() -> None:
    screen = Screen(exact_top=2, sample_size=2, largest_error=0.2)  # on noise, at load

    screen.add_measurements(2, 0.1)
    before = screen.margin
    screen.add_measurements(2, 0.4)

    assert (before, screen.margin) == pytest.approx((0.6, 1.2))


def test_only_images_below_the_cutoff_less_the_margin_are_ruled_out() -> None:
    screen = _measured(0.01, -0.1)

    assert screen.margin == pytest.approx(0.3)
    assert screen.may_be_in_top(_prediction(4.71), 5.0)
    assert not screen.may_be_in_top(_prediction(4.69), 5.0)
    assert screen.may_be_in_top(_prediction(None), 5.0)
    assert screen.may_be_in_top(ScoringFailure("not finite"), 5.0)


@pytest.mark.parametrize("is_compiled", [False, True])
def test_worst_images_have_the_scores_of_float32(
    serving: TestClient, checkpoint: Path, is_compiled: bool
) -> None:
    if not has_bfloat16(torch.device("cpu")):
        pytest.skip("this processor has no bfloat16")
    scorer = resources_of(serving).scorer
    version = serving_of(scorer)
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
    assert max(off) > 1e-3  # the rest kept their quick scores
    found = [serving.get(f"/images/{id_}").json()["log_odds"] for id_ in sealed_ids]
    assert found == pytest.approx(_exact(version.detector, sealed), abs=1e-3)
    if is_compiled:  # compiled code made the quick scores and no others
        assert screen.num_measured <= sum(sizes) < len(contents)
    else:
        assert not sizes


def test_next_start_begins_with_the_saved_margin(
    serving: TestClient, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _accept_any_speed(monkeypatch)
    resources = resources_of(serving)
    made = make_screen(load_checkpoint(checkpoint).eval(), "v1", min_speedup=0)
    if made is None:
        pytest.skip("this processor has no bfloat16")
    learning = Screen(exact_top=2, sample_size=8, computed_by=made.computed_by)
    resources.scorer.swap(replace(serving_of(resources.scorer), screen=learning, batch_size=4))
    _send(serving, "pool", [scene_bytes(seed, (RED, None)[seed % 2]) for seed in range(64)])
    _wait_until_scored(serving, 64)

    (shown,) = serving.get("/model-versions/squares").json()["screen_margins"]
    with resources.read_sessions.begin() as session:
        row = version_store.find_by_name(session, "squares")
    assert row is not None
    loaded = load_version(resources, row)
    compiled = compile_version(resources, loaded, row)

    assert shown["num_images"] == learning.num_measured >= 8
    assert shown["largest_error"] == learning.largest_error > 0
    assert shown["margin"] is None  # a real screen needs 64 images
    assert shown["computed_by"].endswith(torch.__version__)
    assert loaded.screen is not None
    assert loaded.screen.num_measured == learning.num_measured
    assert loaded.screen.largest_error >= learning.largest_error
    assert compiled.screen is not None
    assert compiled.screen.computed_by.endswith(f", OpenVINO {metadata.version('openvino')}")
    assert compiled.screen.num_measured == 0  # other code errs differently


def test_large_pool_is_screened_by_the_version_compiled_meanwhile(
    settings: Settings, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_bfloat16(torch.device("cpu")):
        pytest.skip("this processor has no bfloat16")
    _accept_any_speed(monkeypatch)
    monkeypatch.setattr(loading, "MIN_SOURCE_SIZE", 8)
    app = create_app(settings.model_copy(update={"backend": "openvino"}))
    with local_client(app) as client, checkpoint.open("rb") as file:
        client.post("/model-versions", files={"checkpoint": file}, data={"name": "squares"})
        client.post("/model-versions/squares/activate").raise_for_status()
        _send(client, "pool", [scene_bytes(seed, RED) for seed in range(6)])
        _wait_until_scored(client, 6)
        before = serving_of(app.state.resources.scorer)
        _send(client, "pool", [scene_bytes(seed, RED) for seed in range(6, 8)])

        deadline = time.monotonic() + 120
        while serving_of(app.state.resources.scorer) is before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        compiled = serving_of(app.state.resources.scorer)
        _send(client, "pool", [scene_bytes(seed, RED) for seed in range(8, 24)])
        _wait_until_scored(client, 24)

        assert before.screen is None or before.screen.dense is None
        assert compiled.screen is not None
        assert compiled.screen.dense is not None
        assert compiled.detector is before.detector
        assert serving_of(app.state.resources.scorer) is compiled  # once is enough


def test_eager_backend_has_no_screen(serving: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    _accept_any_speed(monkeypatch)
    resources = resources_of(serving)
    with resources.read_sessions.begin() as session:
        row = version_store.find_by_name(session, "squares")
    assert row is not None
    settings = resources.settings.model_copy(update={"backend": "eager"})

    loaded = load_version(replace(resources, settings=settings), row)

    assert loaded.screen is None


def test_version_that_cannot_be_compiled_serves_as_it_is(
    serving: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    resources = resources_of(serving)
    with resources.read_sessions.begin() as session:
        row = version_store.find_by_name(session, "squares")
    assert row is not None
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed
    monkeypatch.setattr(loading, "has_bfloat16", lambda device: True)

    compiled = compile_version(resources, serving_of(resources.scorer), row)

    assert compiled is serving_of(resources.scorer)
    assert any("backend refused" in line for line in caplog.messages)


def _accept_any_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept quick scores on machines where they gain nothing, too."""
    defaults = {**(make_screen.__kwdefaults__ or {}), "min_speedup": 0.0, "min_gain": 0.0}
    monkeypatch.setattr(make_screen, "__kwdefaults__", defaults)


def _send(client: TestClient, split: str, contents: list[bytes]) -> list[int]:
    files = [("files", (str(index), data)) for index, data in enumerate(contents)]
    response = client.post(
        "/images", files=files, data={"split": split}, headers={"Prefer": "respond-async"}
    )
    response.raise_for_status()
    return [item["image"]["id"] for item in response.json()["items"]]


def _exact(detector: ScoringDetector, contents: list[bytes]) -> list[float]:
    found = predict(detector, [prepare(detector, data) for data in contents])
    return [prediction.log_odds or math.nan for prediction in found]


def _wait_until_scored(client: TestClient, num_images: int) -> None:
    deadline = time.monotonic() + 300
    while client.get("/hard-negatives").json()["pool"]["scored"] < num_images:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_backend_that_is_too_far_off_or_too_slow_is_refused(checkpoint: Path) -> None:
    detector = load_checkpoint(checkpoint).eval()

    assert make_screen(detector, "v1", max_error=1e-9, min_speedup=0) is None
    assert make_screen(detector, "v1", min_speedup=1e9) is None
    assert make_screen(detector, "v1", dense=detector.dense, min_speedup=0, min_gain=1e9) is None


def test_trial_finds_compiled_code_that_handles_only_one_batch_size(checkpoint: Path) -> None:
    detector = load_checkpoint(checkpoint).eval()

    def of_the_first(pixels: Tensor) -> dict[str, Tensor]:
        outputs = detector.dense(pixels[:1])
        return {name: out.expand(len(pixels), *out.shape[1:]) for name, out in outputs.items()}

    right = try_bfloat16(detector, detector.dense)
    wrong = try_bfloat16(detector, of_the_first)

    assert right.error < 0.5 < wrong.error


def test_bfloat16_is_timed_and_compared_with_float32(checkpoint: Path) -> None:
    detector = load_checkpoint(checkpoint).eval()

    error, speedup, gain = try_bfloat16(detector)

    assert 0 < error < 1
    assert 0.001 < speedup < 1000
    assert gain == 1
