"""
The two curves of a mining run: false detections, and AP, version after version.

Source: the plots of microsoft/computervision-recipes,
scenarios/detection/12_hard_negative_sampling.ipynb; here with 95 % intervals.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hardneg.client import ClientError
from hardneg.display.iterations import THRESHOLDS, false_detections
from hardneg.schemas.stats import IntervalOut, Iteration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES = (10, 4)
DOTS_PER_INCH = 120


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def save_curves(rows: Sequence[Iteration], path: Path) -> None:
    """Draw both curves into a PNG, PDF or SVG, by the suffix of the file; raise ClientError."""
    from matplotlib.figure import Figure

    figure = Figure(SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    left, right = figure.subplots(1, 2)
    for threshold in THRESHOLDS:
        values = [false_detections(row, threshold) for row in rows]
        _draw(left, values, f"score ≥ {threshold}")
    left.set_title("False detections on the sealed negatives")
    _draw(right, [_ap50_95(row) for row in rows], "AP@[.5:.95]")
    _draw(right, [_ap50(row) for row in rows], "AP50")
    right.set_title("AP on val")
    for axes in (left, right):
        axes.set_xticks(range(len(rows)), [_name(row) for row in rows])
        axes.margins(0.1)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    right.set_ylim(top=1.05)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:  # matplotlib raises ValueError for an unknown suffix
        raise ClientError(f"cannot save {path}: {error}") from error


def _draw(axes: "Axes", intervals: Sequence[IntervalOut | None], label: str) -> None:
    """Draw a point for each version that was measured; its bar is the 95 % interval."""
    points, values, below, above = [], [], [], []
    for point, interval in enumerate(intervals):
        if interval is None or interval.value is None:
            continue
        points.append(point)
        values.append(interval.value)
        below.append(0 if interval.low is None else max(0, interval.value - interval.low))
        above.append(0 if interval.high is None else max(0, interval.high - interval.value))
    axes.errorbar(points, values, (below, above), marker="o", capsize=4, label=label)


def _name(row: Iteration) -> str:
    return f"{row.model_version}\n{row.num_mined} mined"


def _ap50_95(row: Iteration) -> IntervalOut | None:
    return row.figures.ap50_95 if row.figures else None


def _ap50(row: Iteration) -> IntervalOut | None:
    if row.figures is None:
        return None
    return IntervalOut(value=row.figures.ap50, low=None, high=None)
