import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.detectors import Detector, build
from models.detectors.checkpoint import CheckpointError, save_checkpoint
from models.training.config import TrainingConfig
from models.training.loop import train
from models.training.reports import EpochReport, NonFiniteLossError, StepReport
from models.training.state import load_state, save_state
from tests.models.squares import negatives, squares, tiny_detector

SHORT = TrainingConfig(
    epochs=2, steps_per_epoch=3, batch_size=4, learning_rate=3e-3, warmup_steps=1, seed=5
)


def digest(detector: Detector, folder: Path) -> str:
    path = folder / "digest.safetensors"
    save_checkpoint(detector, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def after(step: int) -> Callable[[], bool]:
    """Return a `should_stop` that is True after this many steps."""
    asked = iter(range(step + 1))
    return lambda: next(asked) == step


def test_equal_seeds_give_equal_checkpoints(tmp_path: Path) -> None:
    digests = []
    for seed in (5, 5, 6):
        detector = tiny_detector()
        train(detector, squares(5), negatives(3), squares(3, 1), replace(SHORT, seed=seed))
        digests.append(digest(detector, tmp_path))

    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path, stop_at: int) -> None:
    images = (squares(5), negatives(3), squares(3, 1))
    whole, stopped, resumed = tiny_detector(), tiny_detector(), tiny_detector(seed=99)
    expected = train(whole, *images, SHORT)
    state = tmp_path / "run.state"

    cut = train(stopped, *images, SHORT, should_stop=after(stop_at), state_path=state)
    result = train(resumed, *images, SHORT, resume_from=state)

    assert cut.outcome == "cancelled"
    assert result.outcome == "completed"
    assert digest(resumed, tmp_path) == digest(whole, tmp_path)
    assert [replace(report, duration_s=0) for report in result.history] == [
        replace(report, duration_s=0) for report in expected.history
    ]


@pytest.mark.parametrize(
    ("is_pretrained", "factor", "other"), [(True, 0.1, 1.0), (False, 1.0, 0.1)]
)
def test_a_pretrained_backbone_learns_slower(
    tmp_path: Path, is_pretrained: bool, factor: float, other: float
) -> None:
    digests = []
    for backbone_rate_factor in (None, factor, other):
        torch.manual_seed(0)
        detector = build(
            "ssd_small", ["square"], input_size=(64, 64), freeze_batch_norm=is_pretrained
        )
        config = replace(SHORT, epochs=1, backbone_rate_factor=backbone_rate_factor)
        train(detector, squares(4), [], [], config)
        digests.append(digest(detector, tmp_path))

    assert digests[0] == digests[1] != digests[2]


def test_no_step_is_taken_after_a_stop() -> None:
    steps: list[StepReport] = []

    result = train(
        tiny_detector(),
        squares(4),
        [],
        [],
        SHORT,
        should_stop=after(2),
        on_step=steps.append,
    )

    assert [report.step for report in steps] == [1, 2]
    assert steps[-1].num_steps == 6
    assert result.outcome == "cancelled"
    assert result.best_epoch is None


def test_every_epoch_is_reported() -> None:
    reports: list[EpochReport] = []

    result = train(
        tiny_detector(), squares(4), negatives(2), squares(2, 1), SHORT, on_epoch=reports.append
    )

    assert tuple(reports) == result.history
    assert [(report.epoch, report.step) for report in reports] == [(1, 3), (2, 6)]
    assert all(0 <= report.ap50_95 <= report.ap50 <= 1 for report in reports)
    assert all(sum(report.losses.values()) > 0 for report in reports)
    assert reports[1].learning_rate < reports[0].learning_rate


def test_without_validation_images_the_last_epoch_is_best() -> None:
    result = train(tiny_detector(), squares(4), [], [], SHORT)

    assert result.best_epoch == 2
    assert math.isnan(result.best_ap50_95)


def test_an_epoch_uses_every_labelled_image_by_default() -> None:
    config = replace(SHORT, steps_per_epoch=None, epochs=1, negative_share=0.25)

    result = train(tiny_detector(), squares(7), negatives(2), [], config)

    assert result.history[0].step == 3  # of three labelled images each


def test_the_detector_ends_with_the_best_epochs_weights(tmp_path: Path) -> None:
    detector = tiny_detector()
    after_each: dict[int, str] = {}

    def remember(report: EpochReport) -> None:
        after_each[report.epoch] = digest(detector, tmp_path)

    result = train(
        detector,
        squares(4),
        [],
        squares(4, 1),
        replace(SHORT, epochs=3, steps_per_epoch=4),
        on_epoch=remember,
    )

    best = max(result.history, key=lambda report: report.ap50_95)
    assert result.best_epoch == best.epoch
    assert result.best_ap50_95 == best.ap50_95
    assert digest(detector, tmp_path) == after_each[best.epoch]


def test_patience_ends_a_run_that_no_longer_improves(tmp_path: Path) -> None:
    # No detection can reach a score of 1, so AP stays at 0 and the first epoch stays the best.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        detector = build("ssd_small", ["square"], input_size=(64, 64), score_threshold=1.0)
    config = replace(SHORT, epochs=9, steps_per_epoch=1, patience=2)
    images = (squares(4), negatives(2), squares(2, 1))
    state = tmp_path / "run.state"

    result = train(detector, *images, config, state_path=state)
    resumed = train(detector, *images, config, resume_from=state)

    assert result.outcome == "stopped early"
    assert (result.best_epoch, len(result.history)) == (1, 3)
    assert len(resumed.history) == 3


def test_a_loss_that_is_not_finite_stops_the_run_with_its_parts() -> None:
    detector = tiny_detector()
    with torch.no_grad():
        next(detector.network.parameters()).fill_(float("nan"))

    with pytest.raises(NonFiniteLossError, match="step 0") as caught:
        train(detector, squares(4), [], [], SHORT)

    assert caught.value.step == 0
    assert set(caught.value.parts) == {"classification", "bbox_regression"}


def test_training_keeps_the_state_of_torchs_generator() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)

    train(tiny_detector(), squares(2), negatives(1), [], replace(SHORT, epochs=1))

    assert torch.equal(torch.rand(3), expected)


def test_a_state_of_other_settings_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "run.state"
    train(tiny_detector(), squares(4), [], [], replace(SHORT, epochs=1), state_path=state)

    with pytest.raises(ValueError, match="other settings"):
        train(tiny_detector(), squares(4), [], [], SHORT, resume_from=state)
    with pytest.raises(ValueError, match="other settings or images"):
        train(tiny_detector(), squares(3), [], [], replace(SHORT, epochs=1), resume_from=state)


def test_a_state_that_calls_the_backbone_a_trunk_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "run.state"
    images = (squares(4), negatives(2), squares(2, 1))
    train(tiny_detector(), *images, SHORT, should_stop=after(4), state_path=path)
    state = load_state(path)
    config = state.progress["settings"]["config"]
    config["trunk_rate_factor"] = config.pop("backbone_rate_factor")
    save_state(state, path)

    result = train(tiny_detector(), *images, SHORT, resume_from=path)

    assert result.outcome == "completed"
    assert [report.epoch for report in result.history] == [1, 2]


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "run.state"
    train(tiny_detector(), squares(4), [], [], replace(SHORT, epochs=1), state_path=state)
    other = build("ssd_small", ["square", "disc"], input_size=(64, 64))

    with pytest.raises(CheckpointError, match="another network"):
        train(other, squares(4), [], [], replace(SHORT, epochs=1), resume_from=state)


@pytest.mark.parametrize(
    "settings",
    [{"epochs": 0}, {"learning_rate": 0.0}, {"patience": 0}, {"steps_per_epoch": 0}],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        replace(SHORT, **settings)  # type: ignore[arg-type]  # wrong values are the point


@pytest.mark.slow
def test_squares_are_learned_and_discs_unlearned() -> None:
    detector = tiny_detector()
    config = replace(SHORT, epochs=3, steps_per_epoch=30, batch_size=8)

    result = train(detector, squares(40), negatives(20), squares(12, 1), config)

    assert result.best_ap50_95 > 0.5
