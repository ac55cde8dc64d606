"""`hardneg import`: upload of a folder or list of images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.failure import fail

if TYPE_CHECKING:
    from hardneg.uploads.folder import ImportReport
    from hardneg.uploads.image_files import FoundImages
    from hardneg.uploads.labelled import LabelledReport

LABELLED_SPLITS = ("train", "val")


def import_folder(
    images: Annotated[
        Path,
        typer.Argument(
            help="Folder to import, with its subfolders; or a list of paths: .csv, .jsonl or "
            ".parquet."
        ),
    ],
    split: Annotated[
        Literal["pool", "negative-test", "train", "val"],
        typer.Option(
            help="`pool`: candidates for mining. `negative-test`: sealed negatives to measure on. "
            "With --labels, `train`: images to train on, `val`: images to compare versions by."
        ),
    ] = "pool",
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The boxes, for `train` and `val`: COCO JSON, a YOLO data.yaml, or a folder of "
            "YOLO's .txt or Pascal VOC's .xml files.",
        ),
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
    was interrupted: the service recognises the files that it has stored. A list has a column `path`
    or `file_name`, from the list's own folder on. With --labels, the images that have labels are
    uploaded, and their boxes replace those that the service has. What is refused is listed with the
    reason, and the exit code is then 1.

    \b
    Examples:
      hardneg import ~/cameras/yard --source yard-camera
      hardneg import ~/cameras/night.csv
      hardneg import ~/raccoons/images --labels ~/raccoons/train.json --split train
      hardneg import ~/raccoons --labels ~/raccoons/data.yaml --split val
    """
    if (labels is not None) != (split in LABELLED_SPLITS):
        fail("--split train and --split val need --labels, and no other split takes it")
    if labels is not None:
        if not images.is_dir():
            fail(f"{images} is not a folder")
        source = images.resolve().name if source is None else source
        _import_labelled(images, labels, split, source, url, api_key)
        return
    from hardneg.display.progress import image_progress
    from hardneg.uploads.folder import import_images

    with connect(url, api_key) as client:
        found = _find(images)
        client.check_alive()
        with image_progress() as progress:
            report = import_images(
                client,
                found,
                split=split,
                source=found.folder.resolve().name if source is None else source,
                num_connections=connections,
                progress=progress,
            )
    _print_report(report, found)


def _find(images: Path) -> "FoundImages":
    """Return the images of a folder or list; end the command for anything else."""
    from hardneg.uploads.image_files import find_images
    from hardneg.uploads.image_list import is_image_list, listed_images

    if images.is_dir():
        return find_images(images)
    if is_image_list(images):
        return listed_images(images)
    if images.exists():
        fail(f"{images} is not a folder, and not a list of paths: .csv, .jsonl or .parquet")
    return fail(f"{images} is not a folder")


def _import_labelled(
    folder: Path, labels: Path, split: str, source: str, url: str | None, api_key: str | None
) -> None:
    from hardneg.display.progress import image_progress
    from hardneg.uploads.labelled import import_labelled
    from hardneg.uploads.labels import read_labels

    with connect(url, api_key) as client:
        client.check_alive()
        reading = read_labels(labels, folder, split)
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


def _print_report(report: "ImportReport", found: "FoundImages") -> None:
    for refused in report.refused:
        typer.echo(f"{found.name(refused.path)}: {refused.reason}", err=True)
    typer.echo(
        f"{report.num_images} images: {report.num_new} new, {report.num_known} known already, "
        f"{len(report.refused)} refused"
    )
    if report.num_others:
        typer.echo(f"left out {report.num_others} other files, whose names are not those of images")
    if report.refused:
        raise typer.Exit(1)
