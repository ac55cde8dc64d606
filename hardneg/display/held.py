"""Images that look like true objects, as a table."""

import typer
from rich.console import Console
from rich.table import Table

from hardneg.schemas.hard_negatives import HardNegativePage
from hardneg.schemas.hold_test import HoldTestReport


def print_held(page: HardNegativePage, report: HoldTestReport) -> None:
    """Print one row for each held image, the sealed ones, and what the test rests on."""
    if page.items:
        table = Table("decision", "max score", "image", box=None)
        table.add_column("file", overflow="fold")
        for item in page.items:
            table.add_row(
                "" if item.hold_decision is None else f"{item.hold_decision:.2f}",
                "none" if item.max_score is None else f"{item.max_score:.4f}",
                str(item.image.id),
                item.image.file_name,
            )
        Console().print(table)
    pool = report.pool
    typer.echo(f"{pool.held} of {pool.tested} tested images of the pool look like true objects")
    if report.suspicious_sealed:
        names = ", ".join(str(item.image.id) for item in report.suspicious_sealed)
        typer.echo(f"so do {report.sealed.held} of {report.sealed.tested} sealed images: {names}")
    word = "trusted" if report.is_trusted else "for review only"
    typer.echo(f"the test is {word}: {report.reason}")
