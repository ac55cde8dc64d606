"""The result of a mining run: one line for each version, the parent version first."""

from collections.abc import Sequence

import typer

from hardneg.client import Client
from hardneg.schemas.stats import IntervalOut, Iteration

THRESHOLDS = (0.3, 0.5)


def iterations_of_job(client: Client, job_id: int) -> list[Iteration]:
    """Return the parent version of a job's first round, if any, and the versions it made."""
    versions = client.iterations()
    made = [row for row in versions if row.job_id == job_id]
    parent_ids = {row.parent_version_id for row in made[:1]}
    return [row for row in versions if row.model_version_id in parent_ids] + made


def print_iterations(rows: Sequence[Iteration]) -> None:
    """Print the before/after table, and the reason for each decision."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    table.add_column("version", overflow="fold")
    for heading in ("mined", "AP@[.5:.95]", "AP50", "false ≥ 0.3", "≥ 0.5", "sealed"):
        table.add_column(heading, justify="right")
    table.add_column("decision")
    for row in rows:
        table.add_row(*_cells(row))
    Console().print(table)
    typer.echo(
        "false: detections on the sealed images with scores of at least 0.3 and 0.5; no object is "
        "on these images, so every detection is false"
    )
    for row in rows:
        if row.reason is not None:
            typer.echo(f"{row.model_version} is {row.decision}: {row.reason}")
        if row.figures is not None and row.figures.comparison is not None:
            typer.echo(
                f"{row.model_version} finds as many objects as its parent version with scores of "
                f"at least {row.figures.operating_threshold:.2f}"
            )


def false_detections(row: Iteration, threshold: float) -> IntervalOut | None:
    """Return the false detections on all sealed images; None if they were not counted."""
    found = row.figures.at(threshold) if row.figures else None
    return found.false_detections if found else None


def _cells(row: Iteration) -> list[str]:
    figures = row.figures
    ap50_95 = figures.ap50_95.value if figures and figures.ap50_95 else None
    counts = [false_detections(row, threshold) for threshold in THRESHOLDS]
    return [
        row.model_version,
        str(row.num_mined),
        _number(ap50_95, ".3f"),
        _number(figures.ap50 if figures else None, ".3f"),
        *(_number(count.value if count else None, ".0f") for count in counts),
        "" if figures is None else str(figures.num_negative_images),
        row.decision or "",
    ]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
