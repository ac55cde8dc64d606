"""Table and figure of an experiment's results."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated

import typer
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.experiment import ARMS, NUM_ROUNDS, SAMPLER_ARMS, RoundResult, read_results

# 97.5 % quantiles of Student's t for 1 to 9 degrees of freedom
STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
COLORS = {"baseline": "#555555", "hard": "#c0392b", "random": "#2471a3", "control": "#7f8c8d"}

COLUMNS: tuple[tuple[str, str, Callable[[RoundResult], float | None]], ...] = (
    ("AP@[.5:.95]", ".3f", lambda result: result.ap50_95),
    ("AP50", ".3f", lambda result: result.ap50),
    ("recall at 0.5", ".3f", lambda result: result.recall_50),
    ("FD at 0.3", ".1f", lambda result: result.false_detections_30),
    ("FD at 0.5", ".1f", lambda result: result.false_detections_50),
    ("FPPI at the baseline's recall", ".3f", lambda result: result.fppi_at_baseline_recall),
)


def report(
    results: Annotated[Path, typer.Option(help="Folder that the experiment wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the figure.")],
) -> None:
    """Print the tables of both studies, and draw hard-negatives.svg of the first."""
    rows = read_results(results)
    if not rows:
        raise typer.BadParameter(f"there are no results in {results}")
    images = [row for row in rows if row.arm not in SAMPLER_ARMS]
    samplers = [row for row in rows if row.arm in ("hard", *SAMPLER_ARMS)]
    typer.echo(f"{markdown_table(images)}\n\n{seed_table(images)}")
    if any(row.arm in SAMPLER_ARMS for row in rows):
        last = [row for row in samplers if row.round == NUM_ROUNDS]
        typer.echo(f"\n{markdown_table(last)}\n\n{seed_table(last)}")
    out.mkdir(parents=True, exist_ok=True)
    draw_figure(images, out / "hard-negatives.svg")


def markdown_table(results: Sequence[RoundResult]) -> str:
    """One row per arm and round: mean over seeds ± half its 95 % interval, then single seeds."""
    names = [name for name, _, _ in COLUMNS]
    lines = [
        "| arm | round | seeds | " + " | ".join(names) + " |",
        "| --- " * (3 + len(names)) + "|",
    ]
    for arm, number in _rounds(results):
        rows = _rows(results, arm, number)
        cells = [_cell([read(row) for row in rows], form) for _, form, read in COLUMNS]
        lines.append(f"| {arm} | {number} | {len(rows)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def seed_table(results: Sequence[RoundResult]) -> str:
    """One row per arm, round and seed."""
    names = [name for name, _, _ in COLUMNS]
    lines = [
        "| arm | round | seed | " + " | ".join(names) + " |",
        "| --- " * (3 + len(names)) + "|",
    ]
    for arm, number in _rounds(results):
        for row in _rows(results, arm, number):
            cells = [_cell([read(row)], form) for _, form, read in COLUMNS]
            lines.append(f"| {arm} | {number} | {row.seed} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw_figure(results: Sequence[RoundResult], path: Path) -> None:
    """Both curves over the rounds, the trade-off between them, and recall against their price."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(2, 2)
    _draw_rounds(axes[0, 0], results, lambda result: result.false_detections_50)
    axes[0, 0].set(ylabel="false detections at score 0.5", yscale="symlog", ylim=(0, None))
    _draw_rounds(axes[0, 1], results, lambda result: result.ap50_95)
    axes[0, 1].set(ylabel="AP@[.5:.95] on val")
    _draw_trade_off(axes[1, 0], results)
    _draw_recall(axes[1, 1], results)
    # Text as text, and no random names: the file changes only when the results do.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "hardneg"}):
        figure.savefig(path, format="svg", metadata={"Date": None})


def _draw_rounds(
    axes: Axes, results: Sequence[RoundResult], read: Callable[[RoundResult], float]
) -> None:
    for arm in ARMS:
        numbers = sorted({row.round for row in results if row.arm == arm})
        rows = [_rows(results, "baseline", 0), *(_rows(results, arm, n) for n in numbers)]
        means = [mean(map(read, group)) for group in rows]
        halves = [_half_interval([read(row) for row in group]) for group in rows]
        axes.errorbar(
            [0, *numbers], means, halves, label=arm, color=COLORS[arm], marker="o", capsize=3
        )
    axes.set(xlabel="mining round", xticks=sorted({row.round for row in results}))
    axes.legend()


def _draw_trade_off(axes: Axes, results: Sequence[RoundResult]) -> None:
    for arm, number in _rounds(results):
        rows = _rows(results, arm, number)
        axes.scatter(
            [row.false_detections_50 for row in rows],
            [row.ap50_95 for row in rows],
            s=20 + 30 * number,
            color=COLORS[arm],
            alpha=0.7,
            label=f"{arm}, round {number}",
        )
    axes.set(xlabel="false detections at score 0.5", ylabel="AP@[.5:.95] on val", xscale="symlog")
    axes.legend(fontsize="small", loc="lower center")


def _draw_recall(axes: Axes, results: Sequence[RoundResult]) -> None:
    last = max(row.round for row in results)
    for arm, number in [("baseline", 0), *((arm, last) for arm in ARMS)]:
        curves = [row.curve for row in _rows(results, arm, number)]
        if not curves:
            continue
        points = [
            (mean(count for _, _, count in column), mean(recall for _, recall, _ in column))
            for column in zip(*curves, strict=True)
        ]
        axes.plot(*zip(*points, strict=True), color=COLORS[arm], marker=".", label=arm)
    axes.set(
        xlabel="false detections, as the threshold falls from 0.95 to 0.05",
        ylabel="recall on val",
        xscale="symlog",
    )
    axes.legend()


def _rounds(results: Sequence[RoundResult]) -> list[tuple[str, int]]:
    order = {arm: index for index, arm in enumerate(("baseline", *ARMS, *SAMPLER_ARMS))}
    return sorted({(row.arm, row.round) for row in results}, key=lambda key: (order[key[0]], key))


def _rows(results: Sequence[RoundResult], arm: str, number: int) -> list[RoundResult]:
    rows = [row for row in results if (row.arm, row.round) == (arm, number)]
    return sorted(rows, key=lambda row: row.seed)


def _cell(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "out of reach" if len(values) == 1 else f"out of reach in {len(values) - len(known)}"
    if len(known) == 1:
        return format(known[0], form)
    return f"{mean(known):{form}} ± {_half_interval(known):{form}}"


def _half_interval(values: Sequence[float]) -> float:
    """Half the 95 % interval of the mean by Student's t; 0 for one seed."""
    if len(values) < 2:
        return 0.0
    quantile = STUDENT_T[min(len(values) - 1, len(STUDENT_T)) - 1]
    return quantile * stdev(values) / math.sqrt(len(values))


if __name__ == "__main__":
    typer.run(report)
