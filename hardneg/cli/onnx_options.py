"""Options for what an ONNX file does not tell itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardneg.cli.failure import fail

if TYPE_CHECKING:
    from hardneg.schemas.model_versions import OnnxOptions

PresetOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Exporter of an ONNX file: ultralytics, yolov5, yolox, nanodet, rt-detr, d-fine, "
        "rf-detr, detr, torchvision or tf. Default: ultralytics, if the file says so itself.",
    ),
]
LayoutOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What the outputs of an ONNX file mean. Default: told by their shapes.",
    ),
]
ClassNamesOption = Annotated[
    Path | None,
    typer.Option(
        "--class-names",
        metavar="FILE",
        help="Classes of an ONNX file, one a line, in label order. Default: those in the file.",
    ),
]
InputSizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="HxW",
        help="Height and width for an ONNX file that takes any size, such as 480x640.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other value, such as resize=stretch, channel_order=bgr, pad_value=0 or "
        "image_mean=123.7,116.3,103.5; repeat it.",
    ),
]
LISTS = ("image_mean", "image_std", "strides")


def read_options(
    preset: str | None,
    layout: str | None,
    class_names_file: Path | None,
    input_size: str | None,
    settings: Sequence[str] | None,
) -> "OnnxOptions | None":
    """Gather the given options; None if there are none. A wrong value ends the command."""
    given: dict[str, object] = {"preset": preset, "layout": layout}
    if class_names_file is not None:
        given["class_names"] = _lines(class_names_file)
    if input_size is not None:
        given["input_size"] = input_size.lower().split("x")
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not equals:
            fail(f"--set needs NAME=VALUE, not {setting!r}")
        given[name.strip()] = value.split(",") if name.strip() in LISTS else value
    given = {name: value for name, value in given.items() if value is not None}
    return _validated(given) if given else None


def _validated(given: dict[str, object]) -> "OnnxOptions":
    from pydantic import ValidationError

    from hardneg.schemas.model_versions import OnnxOptions

    try:
        return OnnxOptions.model_validate(given)
    except ValidationError as error:
        reasons = (f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
        fail("; ".join(reasons))


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        fail(f"cannot read {path}: {error}")
    return [line.strip() for line in lines if line.strip()]
