"""`hardneg import`: upload of a folder of images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.failure import fail

if TYPE_CHECKING:
    from hardneg.uploads.folder import ImportReport
    from hardneg.uploads.labelled import LabelledReport

LABELLED_SPLITS = ("train", "val")


def import_folder(
    folder: Annotated[Path, typer.Argument(help="Folder to import, with its subfolders.")],
    split: Annotated[
        Literal["pool", "negative-test", "train", "val"],
        typer.Option(
            help="`pool`: candidates for mining. `negative-test`: sealed negatives to measure on. "
            "With --labels, `train`: images to train on, `val`: images to compare versions by."
        ),
    ] = "pool",
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="COCO JSON with the boxes, for `train` and `val`."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Where the images come from, a word to filter by. Default: the folder's name."
        ),
    ] = None,
    connections: Annotated[int, typer.Option(min=1, max=16, help="Uploads at the same time.")] = 3,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Upload every image of a folder.

    The serving version scores the images as they arrive. The same command resumes an import that
    was interrupted: the service recognises the files that it has stored. With --labels, the images
    that the JSON names are uploaded, and their boxes replace those that the service has. Files that
    are refused are listed with the reason, and the exit code is then 1.

    \b
    Examples:
      hardneg import ~/cameras/yard --source yard-camera
      hardneg import ~/raccoons/images --labels ~/raccoons/train.json --split train
    """
    if not folder.is_dir():
        fail(f"{folder} is not a folder")
    if (labels is not None) != (split in LABELLED_SPLITS):
        fail("--split train and --split val need --labels, and no other split takes it")
    source = folder.resolve().name if source is None else source
    if labels is not None:
        _import_labelled(folder, labels, split, source, url, api_key)
        return
    from hardneg.display.progress import image_progress
    from hardneg.uploads.folder import import_images

    with connect(url, api_key) as client:
        client.check_alive()
        with image_progress() as progress:
            report = import_images(
                client,
                folder,
                split=split,
                source=source,
                num_connections=connections,
                progress=progress,
            )
    _print_report(report, folder)


def _import_labelled(
    folder: Path, labels: Path, split: str, source: str, url: str | None, api_key: str | None
) -> None:
    from hardneg.display.progress import image_progress
    from hardneg.uploads.annotations import read_labels
    from hardneg.uploads.labelled import import_labelled

    with connect(url, api_key) as client:
        client.check_alive()
        reading = read_labels(labels, folder)
        with image_progress() as progress:
            report = import_labelled(client, reading, split=split, source=source, progress=progress)
    _print_labelled_report(report)


def _print_labelled_report(report: "LabelledReport") -> None:
    for line in (*report.mended, *report.refused):
        typer.echo(line, err=True)
    typer.echo(
        f"{report.num_new} images new, {report.num_known} known already; {report.num_boxes} boxes "
        f"of {', '.join(report.class_names) or 'no class'}; {len(report.refused)} items refused"
    )
    if report.refused:
        raise typer.Exit(1)


def _print_report(report: "ImportReport", folder: Path) -> None:
    for refused in report.refused:
        typer.echo(f"{refused.path.relative_to(folder)}: {refused.reason}", err=True)
    typer.echo(
        f"{report.num_images} images: {report.num_new} new, {report.num_known} known already, "
        f"{len(report.refused)} refused"
    )
    if report.num_others:
        typer.echo(f"left out {report.num_others} other files, whose names are not those of images")
    if report.refused:
        raise typer.Exit(1)
