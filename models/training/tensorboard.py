"""A TensorBoard log of epochs; it needs the extra `hardneg[tensorboard]`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.training.reports import EpochReport


@contextmanager
def tensorboard_log(folder: Path) -> Iterator[Callable[[EpochReport], None]]:
    """
    Open a log, and yield a function for `train(on_epoch=...)` that writes each epoch to it.

    Raises:
        ImportError: The extra is not installed.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def write(report: EpochReport) -> None:
        for name, value in report.losses.items():
            writer.add_scalar(f"loss/{name}", value, report.step)
        writer.add_scalar("learning_rate", report.learning_rate, report.step)
        writer.add_scalar("val/ap50_95", report.ap50_95, report.step)
        writer.add_scalar("val/ap50", report.ap50, report.step)
        writer.flush()

    try:
        yield write
    finally:
        writer.close()
