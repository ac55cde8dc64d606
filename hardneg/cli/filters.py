"""Options that narrow the ranked list, for the commands that show or export it."""

from typing import Annotated

import typer

ModelVersionOption = Annotated[
    str | None,
    typer.Option(help="Id or name of a model version. Default: the serving version."),
]
LabelOption = Annotated[
    str | None, typer.Option(help="Only images with a detection of this class.")
]
MinScoreOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Only images with at least this max score.")
]
MaxScoreOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Only images with at most this max score.")
]
SourceOption = Annotated[str | None, typer.Option(help="Only images from this source.")]
TrainedOption = Annotated[
    bool | None,
    typer.Option(
        "--trained/--not-trained",
        help="Only images that were used in training, or only the others. Default: both.",
    ),
]
CollapseOption = Annotated[
    bool, typer.Option("--collapse", help="Of near-duplicates, list only the hardest.")
]
HeldOption = Annotated[
    bool | None,
    typer.Option(
        "--held/--not-held",
        help="Only images that look like true objects by the last hold test, or only the "
        "others. Default: both.",
    ),
]
