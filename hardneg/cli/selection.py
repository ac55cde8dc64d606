"""Options that say which images are not mined, for the commands that choose new negatives."""

from typing import Annotated, Literal

import typer

HoldChoice = Literal["auto", "review", "off"]

HoldOption = Annotated[
    HoldChoice | None,
    typer.Option(
        help="Images that look like true objects: `auto` does not mine them if the test is "
        "trusted, `review` only lists them, `off` does not test. Default: auto."
    ),
]
CollapseInMiningOption = Annotated[
    bool,
    typer.Option(
        "--collapse", help="Of near-duplicates, mine only the hardest; not for fixed cameras."
    ),
]


def selection(hold: HoldChoice | None, *, collapse: bool) -> dict[str, object] | None:
    """Return the field of that name in a request; None if no option was given."""
    given: dict[str, object] = {} if hold is None else {"hold": hold}
    if collapse:
        given["collapse"] = True
    return given or None
