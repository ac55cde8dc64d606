"""`hardneg export`: images for another trainer or an annotation tool."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hardneg.cli.connection import ApiKeyOption, UrlOption, connect
from hardneg.cli.failure import fail
from hardneg.cli.filters import (
    CollapseOption,
    HeldOption,
    LabelOption,
    MaxScoreOption,
    MinScoreOption,
    ModelVersionOption,
    SourceOption,
    TrainedOption,
)

if TYPE_CHECKING:
    from hardneg.client import Client

FormatChoice = Literal["yolo", "coco", "voc", "cvat", "label-studio", "csv", "jsonl", "parquet"]


def export(
    out: Annotated[
        Path,
        typer.Option(metavar="PATH", help="A zip, if the name ends in .zip; else a new folder."),
    ],
    file_format: Annotated[FormatChoice, typer.Option("--format", help="How labels are written.")],
    n: Annotated[
        int | None,
        typer.Option("-n", "--n", min=1, max=100_000, help="How many hard negatives. Default: 10."),
    ] = None,
    run: Annotated[
        int | None,
        typer.Option(min=1, help="Export the frozen list of this training run instead."),
    ] = None,
    content: Annotated[
        Literal["delta", "all"] | None,
        typer.Option(
            help="With --run, `delta`: its new negatives alone, `all`: every image. Default: all."
        ),
    ] = None,
    images: Annotated[
        Literal["inside", "links"],
        typer.Option(help="`inside` downloads the images, `links` names their addresses."),
    ] = "inside",
    model_version: ModelVersionOption = None,
    label: LabelOption = None,
    min_score: MinScoreOption = None,
    max_score: MaxScoreOption = None,
    source: SourceOption = None,
    verdict: Annotated[
        Literal["negative", "contains-object", "unsure", "none"] | None,
        typer.Option(
            help="Only images that a person judged so, or that nobody judged. `contains-object` "
            "exports detections that were judged true, as labels. Default: all but those."
        ),
    ] = None,
    trained: TrainedOption = None,
    held: HeldOption = None,
    collapse: CollapseOption = False,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Export the hardest images as negatives, or a training run's images with their boxes.

    Beside the labels, hardneg.jsonl has the digest, verdict, score and detections of every image.

    \b
    Examples:
      hardneg export --format yolo --out mined -n 200
      hardneg export --format label-studio --out review.zip --verdict none
      hardneg export --format coco --out found -n 500 --verdict contains-object
      hardneg export --format coco --out round-7 --run 7 --content delta
    """
    filters = (n, model_version, label, min_score, max_score, source, verdict, trained, held)
    if run is None and content is not None:
        fail("--content needs --run")
    if run is not None and any(value is not None for value in filters):
        fail("--run exports a frozen list, which takes no -n and no filters")
    if out.exists():
        fail(f"{out} exists already: name a new folder or zip, or remove it first")

    def save(client: "Client", path: Path) -> None:
        if run is not None:
            client.export_training_run(
                run, path, file_format, content=content or "all", images=images
            )
            return
        client.export_hard_negatives(
            path,
            file_format,
            10 if n is None else n,
            images=images,
            model_version=model_version,
            min_score=min_score,
            max_score=max_score,
            label=label,
            source=source,
            verdict=verdict,
            trained=trained,
            held=held,
            collapse=collapse,
        )

    with connect(url, api_key) as client:
        if out.suffix.lower() == ".zip":
            save(client, out)
            typer.echo(_summary(out, out))
        else:
            typer.echo(_unpack(lambda path: save(client, path), out))


def _unpack(save: Callable[[Path], None], folder: Path) -> str:
    """Save a zip and unpack it into a folder, which appears when it is whole; return a summary."""
    try:
        with TemporaryDirectory(prefix=".hardneg-", dir=folder.absolute().parent) as name:
            archive = Path(name, "export.zip")
            save(archive)
            unpacked = Path(name, "export")
            shutil.unpack_archive(archive, unpacked)
            summary = _summary(archive, folder)
            unpacked.rename(folder)
    except OSError as error:
        fail(f"cannot write {folder}: {error.strerror}")
    return summary


def _summary(archive: Path, out: Path) -> str:
    """Return what a zip holds, as its hardneg.jsonl says."""
    with zipfile.ZipFile(archive) as opened, opened.open("hardneg.jsonl") as record:
        num_objects = [json.loads(line)["num_objects"] for line in record]
    return f"{len(num_objects)} images, {sum(num_objects)} boxes: {out}"
