from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from models.training.reports import EpochReport
from models.training.tensorboard import tensorboard_log


def test_every_epoch_is_a_point_of_each_curve(tmp_path: Path) -> None:
    with tensorboard_log(tmp_path) as write:
        for epoch in (1, 2):
            write(
                EpochReport(
                    epoch=epoch,
                    num_epochs=2,
                    step=10 * epoch,
                    losses={"classification": 1 / epoch},
                    learning_rate=0.1,
                    ap50_95=0.25 * epoch,
                    ap50=0.5,
                    is_best=True,
                    duration_s=1.0,
                )
            )

    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {
        "loss/classification",
        "learning_rate",
        "val/ap50_95",
        "val/ap50",
    }
    points = [(point.step, point.value) for point in events.Scalars("val/ap50_95")]
    assert points == [(10, pytest.approx(0.25)), (20, pytest.approx(0.5))]
