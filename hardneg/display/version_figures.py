"""The figures of one version, in a few lines."""

import typer

from hardneg.schemas.model_versions import ModelVersionDetail
from hardneg.schemas.stats import Figures, IntervalOut


def print_figures(version: ModelVersionDetail, *, with_measures: bool = True) -> None:
    """Print what a version was measured at, and a warning if its preprocessing looks wrong."""
    if with_measures:
        typer.echo("not measured yet" if version.figures is None else _text(version.figures))
    if version.preprocessing_warning is not None:
        typer.echo(f"warning: {version.preprocessing_warning.message}", err=True)


def _text(figures: Figures) -> str:
    parts = [f"on {figures.num_val_images} images of val: AP@[.5:.95] {_interval(figures.ap50_95)}"]
    parts += [
        f"on {figures.num_negative_images} sealed images: {found.false_detections.value:.0f} "
        f"false detections at score {found.threshold:g}"
        for found in figures.false_detections
    ]
    return "\n".join(parts)


def _interval(interval: IntervalOut | None) -> str:
    if interval is None or interval.value is None:
        return "not known"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"
