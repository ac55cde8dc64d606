"""The ranked list as a table."""

import typer
from rich.console import Console
from rich.table import Table

from hardneg.schemas.hard_negatives import HardNegativePage

SHOWN_DETECTIONS = 3


def print_table(page: HardNegativePage) -> None:
    """Print one row for each image, and how much of the pool has been scored."""
    if page.items:
        table = Table("rank", "max score", "log-odds", "detections", "image", box=None)
        table.add_column("file", overflow="fold")
        for item in page.items:
            best = item.detections[:SHOWN_DETECTIONS]
            table.add_row(
                str(item.rank),
                "none" if item.max_score is None else f"{item.max_score:.4f}",
                "" if item.log_odds is None else f"{item.log_odds:.2f}",
                ", ".join(f"{found.label} {found.score:.2f}" for found in best),
                str(item.image.id),
                item.image.file_name,
            )
        Console().print(table)
    else:
        typer.echo("no image of the pool matches")
    typer.echo(_coverage(page))


def _coverage(page: HardNegativePage) -> str:
    pool = page.pool
    text = f"{page.model_version} has scored {pool.scored} of {pool.images} images"
    if pool.scored == pool.images:
        return text
    share = pool.scored / pool.images
    return f"{text}: the ranking is provisional, {share:.0%} scanned"
