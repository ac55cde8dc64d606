"""Families of look-alikes, as tables."""

import typer
from rich.console import Console
from rich.table import Table

from hardneg.schemas.families import FamilyPage, FamilyReport
from hardneg.schemas.hard_negatives import HardNegative
from hardneg.schemas.verdicts import VerdictReport, VerdictResult

SHOWN_FILES = 3


def print_families(report: FamilyReport) -> None:
    """Print one row for each family, and what the grouping rests on."""
    if report.items:
        table = Table("family", "images", "judged", "max score", "sealed", box=None)
        table.add_column("hardest images", overflow="fold")
        for family in report.items:
            share = "" if family.sealed_share is None else f"{family.sealed_share:.0%}"
            table.add_row(
                str(family.id),
                str(family.size),
                str(family.size - family.verdicts.none),
                _score(family.max_score),
                share,
                ", ".join(member.image.file_name for member in family.members[:SHOWN_FILES]),
            )
        Console().print(table)
    else:
        typer.echo("no family matches")
    typer.echo(
        f"{report.num_images} images by {report.model_version} form {report.num_families} families"
    )
    typer.echo(
        f"of {report.num_sealed_false_detections} false detections on sealed images, from a score "
        f"of {report.threshold:g}, {report.num_sealed_without_family} look like no family"
    )


def print_family(page: FamilyPage) -> None:
    """Print one row for each image of a family."""
    table = Table("max score", "verdict", "image", box=None)
    table.add_column("file", overflow="fold")
    for member in page.members:
        table.add_row(
            _score(member.max_score),
            member.image.verdict or "",
            str(member.image.id),
            member.image.file_name,
        )
    Console().print(table)


def print_judged(report: VerdictReport) -> None:
    """Print how many images a verdict was given to, and why not to others."""
    typer.echo(f"{report.num_changed} images judged, {report.num_unchanged} had the verdict before")
    for item in report.items:
        if item.problem is not None:
            word = "kept" if item.result == VerdictResult.CONFLICT else "refused"
            typer.echo(f"image {item.image_id} {word}: {item.problem.detail}")


def ranked_members(page: FamilyPage) -> list[HardNegative]:
    """Return the images of a family as items of a ranked list, to be drawn on a sheet."""
    return [
        HardNegative(
            rank=rank,
            max_score=member.max_score,
            log_odds=None,
            detections=[member.detection] if member.detection else [],
            image=member.image,
        )
        for rank, member in enumerate(page.members, 1)
    ]


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.4f}"
