"""`hardneg import`: a folder of images into the service."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from service.commands.connection import ApiKeyOption, UrlOption, connect, fail

if TYPE_CHECKING:
    from service.commands.folder_import import ImportReport


def import_folder(
    folder: Annotated[Path, typer.Argument(help="Searched through and through for images.")],
    split: Annotated[
        Literal["pool", "negative-test"],
        typer.Option(help="Candidates for mining, or sealed images to measure on."),
    ] = "pool",
    source: Annotated[
        str | None, typer.Option(help="Where they come from; the folder's name by default.")
    ] = None,
    connections: Annotated[int, typer.Option(min=1, max=16, help="Uploads at a time.")] = 3,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """
    Upload every image of a folder.

    The serving version scores them on the way. The service knows bytes that it has seen, so an
    import that was interrupted is resumed by the same command. Files that it refuses are listed
    with the reason; the exit code is 1 then.

    \b
    Example: hardneg import ~/cameras/yard --source yard-camera
    """
    if not folder.is_dir():
        fail(f"{folder} is not a folder")
    from service.commands.folder_import import import_images
    from service.commands.progress import image_progress

    with connect(url, api_key) as client:
        client.check_alive()
        with image_progress() as progress:
            report = import_images(
                client,
                folder,
                split=split,
                source=folder.resolve().name if source is None else source,
                num_connections=connections,
                progress=progress,
            )
    _print_report(report, folder)


def _print_report(report: "ImportReport", folder: Path) -> None:
    for refused in report.refused:
        typer.echo(f"{refused.path.relative_to(folder)}: {refused.reason}", err=True)
    typer.echo(
        f"{report.num_images} images: {report.num_new} new, {report.num_known} known already, "
        f"{len(report.refused)} refused"
    )
    if report.num_others:
        typer.echo(f"{report.num_others} other files were left out: no image by their names")
    if report.refused:
        raise typer.Exit(1)
