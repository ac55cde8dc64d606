"""The reference of the command line, as the commands' own `--help` prints it."""

from collections.abc import Iterator

from typer.main import get_command
from typer.testing import CliRunner

from hardneg.cli.app import app

WIDTH = "88"  # columns of a line of help


def commands() -> str:
    """Return a section of Markdown for each command, in the order of `hardneg --help`."""
    return "\n".join(map(_section, command_paths()))


def command_paths() -> list[tuple[str, ...]]:
    """Return the words of each command, in the order of the help; the program itself is ()."""
    return list(_paths(get_command(app), ()))


def _paths(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the words of a command, then of each command below it."""
    below: dict[str, object] = getattr(command, "commands", {})
    yield words
    for name, subcommand in below.items():
        yield from _paths(subcommand, (*words, name))


def _section(words: tuple[str, ...]) -> str:
    result = CliRunner().invoke(
        app,
        [*words, "--help"],
        prog_name="hardneg",
        env={"TERMINAL_WIDTH": WIDTH, "COLUMNS": WIDTH},
    )
    assert result.exit_code == 0, result.output
    return f"## `{' '.join(('hardneg', *words))}`\n\n```text\n{result.output.strip()}\n```\n"
