"""`hardneg model check`: the promises of a detector, tried on this machine."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from hardneg.cli.failure import fail
from hardneg.cli.onnx_options import (
    ClassNamesOption,
    InputSizeOption,
    LayoutOption,
    PresetOption,
    SetOption,
    read_options,
)

if TYPE_CHECKING:
    from hardneg.schemas.model_versions import OnnxOptions


def check(
    file: Annotated[Path, typer.Argument(help="Checkpoint of any format, or ONNX file.")],
    image: Annotated[
        list[Path] | None,
        typer.Option(
            help="JPEG or PNG in which the detector finds something; repeat the option. Default: "
            "only images made up here."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device to score on: `cpu`, `cuda`, …. Default: cpu.")
    ] = "cpu",
    preset: PresetOption = None,
    layout: LayoutOption = None,
    class_names_file: ClassNamesOption = None,
    input_size: InputSizeOption = None,
    settings: SetOption = None,
) -> None:
    """
    Check that a detector keeps the promises that ranking rests on.

    It runs here, without a service, in an environment that has torch and the plug-in. Each promise
    is a line: `ok`, `FAIL` with what to do, or `--` if the images could not try it. One that fails
    makes the exit code 1. docs/how-to/write-a-plug-in.md tells how to write a plug-in.

    \b
    Examples:
      hardneg model check raccoons.safetensors
      hardneg model check yolox_s.onnx --preset yolox --class-names coco.txt
      hardneg model check my.detector --image street.jpg --image yard.jpg
    """
    overrides = read_options(preset, layout, class_names_file, input_size, settings)
    pictures = [_read(path) for path in image or ()]
    if not file.is_file():
        fail(f"there is no file {file}")
    from models.inference.conformance import CheckStatus, check_file

    has_failed = False
    with TemporaryDirectory() as folder:
        path = _with_spec(file, overrides, Path(folder))
        for result in check_file(path, pictures, device=device):
            typer.echo(f"{result.status:<4}  {result.promise:<42}  {result.detail}")
            has_failed |= result.status is CheckStatus.FAILED
    if has_failed:
        raise typer.Exit(1)


def _with_spec(file: Path, overrides: "OnnxOptions | None", folder: Path) -> Path:
    """Return the file, or for an ONNX file the one that the service would keep of it."""
    from models.detectors.foreign.errors import ForeignDetectorError
    from models.detectors.foreign.file import is_onnx, save_foreign
    from models.detectors.foreign.inspection import SpecOverrides, inspect_onnx

    if not is_onnx(file):
        if overrides is not None:
            fail("--preset, --layout, --class-names, --input-size and --set go with an ONNX FILE")
        return file
    try:
        given = SpecOverrides.of(overrides.model_dump() if overrides else {})
        save_foreign(file, inspect_onnx(file, given).spec, folder / "detector.onnx")
    except (ForeignDetectorError, ImportError, ValueError) as error:
        fail(str(error))
    return folder / "detector.onnx"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror}")
